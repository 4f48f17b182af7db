/**
 * The connection that listens, kept up: opened anew wherever it breaks, from the last id on.
 *
 * It is read with `fetch` and not by an EventSource, for three things that one does not tell: the comments that keep it
 * alive, by whose absence a dead connection is noticed; the status of an answer, where an EventSource only gives up; and
 * as Node has no EventSource.
 */

import { ParlourError, pause, refusal } from "./api.js";
import { EventParser } from "./events.js";

/** Pauses between attempts, in milliseconds: the first, where the service has not named one, and the longest. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [500, 30_000];
/** After so long without a byte, in milliseconds, it is asked whether the stream lives; comments come every 15 s. */
const SILENCE = 45_000;
/** What is enough to ask when the page wakes. */
const SILENCE_AWAKE = 5_000;
/** How long an answer's head may take, in milliseconds. */
const PATIENCE = 20_000;
/** How often all that is looked at. */
const LOOK = 5_000;

export class Stream {
  #host;
  #stopping = null;
  #connection = null;
  #heard = 0;
  #wake = () => {};
  #asking = false;

  /**
   * `host` has `url`, `lastId()`, `token()`, `event(name, data, id)`, `state(state)`, `alive()`, which asks the service
   * whether the stream is open, `gone()`, which is called where the service says that it is not for this session and
   * throws where there is no going on, and `over(error)`.
   */
  constructor(host) {
    this.#host = host;
  }

  start() {
    if (this.#stopping) return;
    this.#stopping = new AbortController();
    this.#run(this.#stopping.signal);
  }

  stop() {
    this.#stopping?.abort();
    this.#stopping = null;
  }

  /** Opens it anew, with what is the token and the last id by now. */
  restart() {
    if (!this.#stopping) return;
    this.#connection?.abort();
    this.#wake();
  }

  /** The page is awake or the network back: what waits goes on at once, and what is silent is asked for. */
  wake() {
    this.#wake();
    if (Date.now() - this.#heard > SILENCE_AWAKE) this.#ask();
  }

  async #run(stopping) {
    const look = setInterval(() => this.#look(), LOOK);
    this.#host.state("connecting");
    for (let failures = 0; !stopping.aborted;) {
      try {
        const { live, retry } = await this.#listen(stopping);
        if (stopping.aborted) break;
        // What was live and has ended is opened again soon; what was never live failed, though politely.
        failures = live ? 0 : failures + 1;
        this.#host.state(live ? "connecting" : "waiting");
        await this.#rest(failures, retry ?? FIRST_PAUSE, stopping);
      } catch (error) {
        if (stopping.aborted) break;
        if (!error.passing) {
          this.stop();
          this.#host.over(error);
          break;
        }
        failures += 1;
        this.#host.state("waiting");
        await this.#rest(failures, 1000 * (error.retryAfter ?? 0), stopping);
      }
    }
    clearInterval(look);
  }

  /** Waits before the next attempt, the longer the more have failed, and all clients for different times. */
  async #rest(failures, least, stopping) {
    const wait = failures === 0 ? 0 : Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
    const waking = new AbortController();
    const wake = () => waking.abort();
    this.#wake = wake;
    stopping.addEventListener("abort", wake, { once: true });
    await pause(Math.max(least, wait * (0.5 + Math.random())), waking.signal);
    stopping.removeEventListener("abort", wake);
  }

  /** One connection, from its opening to its end. Answers whether it was live, and when to come back. */
  async #listen(stopping) {
    const connection = new AbortController();
    const stop = () => connection.abort();
    stopping.addEventListener("abort", stop, { once: true });
    this.#connection = connection;
    const patience = setTimeout(stop, PATIENCE);
    const parser = new EventParser();
    let live = false;
    try {
      const answer = await this.#open(connection.signal);
      clearTimeout(patience);
      if (answer.status === 204 || answer.status === 401) {
        await this.#host.gone();
        return { live: false, retry: 0 };
      }
      if (!answer.ok) throw refusal(answer, await answer.text());
      for await (const text of texts(answer.body, connection.signal)) {
        this.#heard = Date.now();
        for (const { event, data, id } of parser.push(text)) {
          if (event === "ready") live = true;
          if (event === "ready") this.#host.state("live");
          // What is told after this was stopped is for whoever listens next.
          if (!connection.signal.aborted) this.#host.event(event, JSON.parse(data), id);
        }
      }
    } catch (error) {
      if (error instanceof ParlourError) throw error;
      // Cut off: no error where it was live, for that is what streams do.
      if (!live) throw new ParlourError(0, "network", "The service cannot be reached.");
    } finally {
      clearTimeout(patience);
      stopping.removeEventListener("abort", stop);
      connection.abort();
      if (this.#connection === connection) this.#connection = null;
    }
    return { live, retry: parser.retry };
  }

  async #open(signal) {
    const token = await this.#host.token();
    const lastId = this.#host.lastId();
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}` };
    if (lastId) headers["Last-Event-ID"] = lastId;
    this.#heard = Date.now();
    const path = `/v1/session/events${lastId ? "" : "?from=now"}`;
    return fetch(this.#host.url + path, { headers, signal, cache: "no-store", credentials: "omit" });
  }

  #look() {
    if (Date.now() - this.#heard > SILENCE) this.#ask();
  }

  /** Asks the service whether this stream still lives. Where not even that can be asked, it does not. */
  async #ask() {
    const connection = this.#connection;
    if (!connection || this.#asking) return;
    this.#asking = true;
    const alive = await this.#host.alive().catch(() => false);
    this.#asking = false;
    if (alive) this.#heard = Date.now();
    else connection.abort();
  }
}

/** The text of a response, as it comes, until the signal. */
async function* texts(body, signal) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const cancel = () => reader.cancel().catch(() => {});
  // Where the end comes at the same moment, Node leaves the reader waiting.
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
