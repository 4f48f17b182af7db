/**
 * Keeps one stream open: reconnects whenever it breaks, and resumes after the last event id.
 *
 * It reads with `fetch` and not with an EventSource, for three reasons. An EventSource does not report comments, and a
 * connection without them is dead. It does not report the status of a response, and gives up where a retry would help.
 * Node has none.
 */

import { errorFrom, ParlourError } from "./api.js";
import { delay, withJitter } from "./delay.js";
import { EventParser } from "./events.js";

/** The delay before a reconnect if the service has not named one, in milliseconds. It doubles with each failure. */
const FIRST_RETRY_DELAY = 500;
/** The longest of these delays, in milliseconds. */
const MAX_RETRY_DELAY = 30_000;
/**
 * After this time without a byte, in milliseconds, the client checks with the service that the stream is still open.
 * The service sends a comment every 15 s.
 */
const MAX_SILENCE = 45_000;
/** The same limit when the page has just become visible or has a network again. */
const MAX_SILENCE_ON_WAKE = 5_000;
/** The longest time until the head of the response, in milliseconds. */
const OPEN_TIMEOUT = 20_000;
/** The interval at which the silence is checked, in milliseconds. */
const CHECK_INTERVAL = 5_000;

export class Stream {
  #host;
  /** Aborts when the stream is stopped; null while it is stopped. */
  #stopped = null;
  /** Aborts the current connection. */
  #connection = null;
  #lastByteAt = 0;
  /** Ends the current retry delay. */
  #endDelay = () => {};
  #checking = false;

  /**
   * `host` provides:
   * - `url`, `lastId()`, `token()`;
   * - `onEvent(name, data, id)` for each event, and `onState(state)`;
   * - `isOpen()`, which returns true if the service reports an open stream of the session;
   * - `onRefused()`, called when the service refuses to open the stream for this session; throws if the session has
   *   ended;
   * - `onFailed(error)`, called when the stream has stopped because a retry cannot help.
   */
  constructor(host) {
    this.#host = host;
  }

  start() {
    if (this.#stopped) return;
    this.#stopped = new AbortController();
    this.#run(this.#stopped.signal);
  }

  stop() {
    this.#stopped?.abort();
    this.#stopped = null;
  }

  /** Reconnects with the current token and the current last id. */
  restart() {
    if (!this.#stopped) return;
    this.#connection?.abort();
    this.#endDelay();
  }

  /**
   * Called when the page becomes visible or the network is back: ends a retry delay, and checks a connection that has
   * been silent.
   */
  checkNow() {
    this.#endDelay();
    if (Date.now() - this.#lastByteAt > MAX_SILENCE_ON_WAKE) this.#checkConnection();
  }

  async #run(stopped) {
    const checks = setInterval(() => this.#checkSilence(), CHECK_INTERVAL);
    this.#host.onState("connecting");
    for (let failures = 0; !stopped.aborted;) {
      try {
        const { live, retry } = await this.#readConnection(stopped);
        if (stopped.aborted) break;
        // A stream that was live is reopened soon. One that ended before `ready` counts as a failure, whatever its
        // status.
        failures = live ? 0 : failures + 1;
        this.#host.onState(live ? "connecting" : "waiting");
        await this.#delayRetry(failures, retry ?? FIRST_RETRY_DELAY, stopped);
      } catch (error) {
        if (stopped.aborted) break;
        if (!error.retryable) {
          this.stop();
          this.#host.onFailed(error);
          break;
        }
        failures += 1;
        this.#host.onState("waiting");
        await this.#delayRetry(failures, 1000 * (error.retryAfter ?? 0), stopped);
      }
    }
    clearInterval(checks);
  }

  /** Waits before the next attempt: exponential backoff with jitter, and at least `minimum` milliseconds. */
  async #delayRetry(failures, minimum, stopped) {
    const backoff = failures === 0 ? 0 : Math.min(FIRST_RETRY_DELAY * 2 ** (failures - 1), MAX_RETRY_DELAY);
    const ended = new AbortController();
    const endDelay = () => ended.abort();
    this.#endDelay = endDelay;
    stopped.addEventListener("abort", endDelay, { once: true });
    await delay(Math.max(minimum, withJitter(backoff)), ended.signal);
    stopped.removeEventListener("abort", endDelay);
  }

  /**
   * Opens one connection and reads it to its end. Returns `live`, true if `ready` has come, and `retry`, the delay that
   * the service has named, in milliseconds or null.
   */
  async #readConnection(stopped) {
    const connection = new AbortController();
    const abort = () => connection.abort();
    stopped.addEventListener("abort", abort, { once: true });
    this.#connection = connection;
    const openTimeout = setTimeout(abort, OPEN_TIMEOUT);
    const parser = new EventParser();
    let live = false;
    try {
      const response = await this.#request(connection.signal);
      clearTimeout(openTimeout);
      if (response.status === 204 || response.status === 401) {
        await this.#host.onRefused();
        return { live: false, retry: 0 };
      }
      if (!response.ok) throw errorFrom(response, await response.text());
      for await (const text of decodedChunks(response.body, connection.signal)) {
        this.#lastByteAt = Date.now();
        for (const event of parser.push(text)) {
          if (event.event === "ready") live = true;
          this.#dispatch(event, connection.signal);
        }
      }
    } catch (error) {
      if (error instanceof ParlourError) throw error;
      // A live stream that is cut off is not an error: streams end that way.
      if (!live) throw new ParlourError(0, "network", "The service cannot be reached.");
    } finally {
      clearTimeout(openTimeout);
      stopped.removeEventListener("abort", abort);
      connection.abort();
      if (this.#connection === connection) this.#connection = null;
    }
    return { live, retry: parser.retry };
  }

  /** After the connection was aborted, its events are left out: the next connection brings them again. */
  #dispatch({ event, data, id }, aborted) {
    if (event === "ready") this.#host.onState("live");
    if (!aborted.aborted) this.#host.onEvent(event, JSON.parse(data), id);
  }

  async #request(signal) {
    const token = await this.#host.token();
    const lastId = this.#host.lastId();
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}` };
    if (lastId) headers["Last-Event-ID"] = lastId;
    this.#lastByteAt = Date.now();
    const path = `/v1/session/events${lastId ? "" : "?from=now"}`;
    return fetch(this.#host.url + path, { headers, signal, cache: "no-store", credentials: "omit" });
  }

  #checkSilence() {
    if (Date.now() - this.#lastByteAt > MAX_SILENCE) this.#checkConnection();
  }

  /** Aborts the connection unless the service confirms that the stream is open. A failed call confirms nothing. */
  async #checkConnection() {
    const connection = this.#connection;
    if (!connection || this.#checking) return;
    this.#checking = true;
    const open = await this.#host.isOpen().catch(() => false);
    this.#checking = false;
    if (open) this.#lastByteAt = Date.now();
    else connection.abort();
  }
}

/** Yields the text of a response in the pieces in which it comes, until its end or until the signal aborts. */
async function* decodedChunks(body, signal) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const cancel = () => reader.cancel().catch(() => {});
  // In Node, a read that is pending when the fetch is aborted may never settle unless the reader is cancelled.
  signal.addEventListener("abort", cancel);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
