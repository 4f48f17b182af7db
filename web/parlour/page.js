/** The lifecycle of a page in a browser. */

/**
 * Calls the callbacks until the signal aborts; does nothing outside of a browser:
 * - `onWake()` when the page becomes visible or the network is back;
 * - `onHide()` when the page is hidden or unloaded;
 * - `onFreeze()` and `onResume()` when the browser freezes the page and when it goes on.
 */
export function watchPage({ onWake, onHide, onFreeze, onResume }, signal) {
  const listen = (target, event, listener) => target?.addEventListener?.(event, listener, { signal });
  const { document } = globalThis;
  listen(globalThis, "online", onWake);
  listen(globalThis, "pageshow", onWake);
  listen(globalThis, "pagehide", onHide);
  listen(document, "visibilitychange", () => {
    if (document.visibilityState === "visible") onWake();
    else onHide();
  });
  listen(document, "freeze", onFreeze);
  listen(document, "resume", onResume);
}
