/** Sends messages, one at a time for each topic, so that they are stored in the order of the calls. */

import { pathSegment, uniqueId } from "./api.js";
import { delay, withJitter } from "./delay.js";

/** The default time for which a send is retried, in milliseconds. */
const RETRY_TIMEOUT = 30_000;
/** The delay after the first failed attempt, in milliseconds. It doubles with each one, up to the maximum. */
const FIRST_RETRY_DELAY = 400;
/** The longest delay between two attempts, in milliseconds. */
const MAX_RETRY_DELAY = 5_000;

export class Outbox {
  #call;
  /** By topic, a promise that settles with the last send to it. */
  #lastSends = new Map();

  /** `call(method, path, body, options)` makes an authorized call. */
  constructor(call) {
    this.#call = call;
  }

  /** Sends as soon as all earlier sends to the same topic have settled. */
  send(topic, content, { retryTimeout = RETRY_TIMEOUT, ...options } = {}) {
    const deadline = Date.now() + retryTimeout;
    const previous = this.#lastSends.get(topic) ?? Promise.resolve();
    const result = previous.then(() => this.#sendWithRetries(topic, content, options, deadline));
    const removeIfLast = () => {
      if (this.#lastSends.get(topic) === settled) this.#lastSends.delete(topic);
    };
    const settled = result.then(removeIfLast, removeIfLast);
    this.#lastSends.set(topic, settled);
    return result;
  }

  /**
   * A send that is stored carries an idempotency key. If its response is lost, the retry returns the message that the
   * first attempt has stored. An ephemeral message has no key and is not retried.
   */
  async #sendWithRetries(topic, content, { ephemeral = false, key = uniqueId() }, deadline) {
    const path = `/v1/topics/${pathSegment(topic)}/messages`;
    if (ephemeral) return this.#call("POST", path, { content, ephemeral });
    const headers = { "Idempotency-Key": key };
    for (let wait = FIRST_RETRY_DELAY; ; wait = Math.min(2 * wait, MAX_RETRY_DELAY)) {
      try {
        return await this.#call("POST", path, { content }, { headers });
      } catch (error) {
        if (!error.retryable || Date.now() >= deadline) throw error;
        const retryAfter = 1000 * (error.retryAfter ?? 0);
        await delay(Math.max(retryAfter, withJitter(wait)));
      }
    }
  }
}
