/** Calls of the service: JSON there and back, and what is refused as an error. */

/** How long a call may take before it counts as lost, in milliseconds. The service itself gives up earlier. */
const CALL_TIMEOUT = 20_000;

/** Why a call was refused, or could not be made. */
export class ParlourError extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    this.name = "ParlourError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same call may do better later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Makes a call and answers its JSON, or null where there is none. */
export async function call(url, method, path, { body, token, headers = {}, signal } = {}) {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT);
  const request = {
    method,
    headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: signal ? either(signal, timeout) : timeout,
    cache: "no-store",
    credentials: "omit",
  };
  try {
    const answer = await fetch(url + path, request);
    const text = await answer.text();
    if (!answer.ok) throw refusal(answer, text);
    return text === "" ? null : parse(text);
  } catch (error) {
    if (error instanceof ParlourError || signal?.aborted) throw error;
    if (timeout.aborted) throw new ParlourError(0, "timeout", "The service did not answer in time.");
    throw new ParlourError(0, "network", "The service cannot be reached.");
  }
}

/** What a status other than success means. Something between may have answered, which knows no problem. */
export function refusal(answer, text) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // A proxy's page.
  }
  const seconds = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  const message = problem?.detail ?? `The service answered ${answer.status}.`;
  return new ParlourError(answer.status, problem?.code ?? "http", message, Number.isNaN(seconds) ? undefined : seconds);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ParlourError(0, "http", "Something else than the service has answered.");
  }
}

/** `AbortSignal.any`, for browsers that do not have it. */
function either(one, other) {
  if (AbortSignal.any) return AbortSignal.any([one, other]);
  const controller = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** A topic in a path. */
export const inPath = encodeURIComponent;

/** A query, with its question mark; what is undefined is left out. */
export function query(values) {
  const given = Object.entries(values ?? {}).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** A name that nobody else has, also where there is no `randomUUID`: that is for https and localhost only. */
export function unique() {
  if (globalThis.crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Waits, but not longer than until the signal. Answers whether the time is over. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const done = (over) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve(over);
    };
    const stop = () => done(false);
    const timer = setTimeout(() => done(true), milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
