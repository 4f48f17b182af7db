/** Delays between attempts. */

/** Resolves to true when the time has passed, or to false as soon as the signal aborts. */
export function delay(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const finish = (elapsed) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve(elapsed);
    };
    const stop = () => finish(false);
    const timer = setTimeout(() => finish(true), milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Returns a random time between half and one and a half of the given one, so that clients do not retry together. */
export const withJitter = (milliseconds) => milliseconds * (0.5 + Math.random());
