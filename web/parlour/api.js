/** Calls of the service: JSON in both directions, and a `ParlourError` for each call that fails. */

/**
 * The time after which a call without a response counts as lost, in milliseconds. The service itself gives up earlier.
 */
const CALL_TIMEOUT = 20_000;

/** The reason why a call failed. `parlour.d.ts` describes the fields. */
export class ParlourError extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    this.name = "ParlourError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** True if the same call may succeed later. */
  get retryable() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Makes a call. Returns the JSON of the response, or null if its body is empty. */
export async function call(url, method, path, { body, token, headers = {}, signal } = {}) {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT);
  const request = {
    method,
    headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: signal ? anySignal(signal, timeout) : timeout,
    cache: "no-store",
    credentials: "omit",
  };
  try {
    const response = await fetch(url + path, request);
    const text = await response.text();
    if (!response.ok) throw errorFrom(response, text);
    return text === "" ? null : parse(text);
  } catch (error) {
    if (error instanceof ParlourError || signal?.aborted) throw error;
    if (timeout.aborted) throw new ParlourError(0, "timeout", "The service did not answer in time.");
    throw new ParlourError(0, "network", "The service cannot be reached.");
  }
}

/**
 * Returns the error of a response whose status is not a success. A proxy may have sent the response: its body is then
 * no problem document (RFC 9457).
 */
export function errorFrom(response, text) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // The body is a proxy's page and not JSON.
  }
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  const message = problem?.detail ?? `The service answered ${response.status}.`;
  const retryAfter = Number.isNaN(seconds) ? undefined : seconds;
  return new ParlourError(response.status, problem?.code ?? "http", message, retryAfter);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ParlourError(0, "http", "Something else than the service has answered.");
  }
}

/** Returns a signal that aborts with either of two. `AbortSignal.any` does it where the browser has that. */
function anySignal(one, other) {
  if (AbortSignal.any) return AbortSignal.any([one, other]);
  const controller = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** Encodes a value as one segment of a path. */
export const pathSegment = encodeURIComponent;

/** Returns a query string with its question mark. Leaves out undefined and null values; returns "" if none is left. */
export function queryString(values) {
  const present = Object.entries(values ?? {}).filter(([, value]) => value !== undefined && value !== null);
  return present.length > 0 ? `?${new URLSearchParams(present)}` : "";
}

/** Returns a random id of 128 bits. `crypto.randomUUID` exists only on https and on localhost. */
export function uniqueId() {
  if (globalThis.crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
