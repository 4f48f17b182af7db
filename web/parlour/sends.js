/** What goes out: one at a time for each topic, so that it is stored in the order of the calls. */

import { inPath, pause, unique } from "./api.js";

/** For how long a send is tried again, in milliseconds. */
const PATIENCE = 30_000;
/** The first pause and the longest one between two attempts, in milliseconds. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [400, 5_000];

export class Sends {
  #call;
  #last = new Map();

  constructor(call) {
    this.#call = call;
  }

  /** Sends when all sends before it to the same topic have been answered. */
  send(topic, content, { patience = PATIENCE, ...options } = {}) {
    const until = Date.now() + patience;
    const before = this.#last.get(topic) ?? Promise.resolve();
    const turn = before.then(() => this.#attempt(topic, content, options, until));
    const settled = turn.then(
      () => this.#done(topic, settled),
      () => this.#done(topic, settled),
    );
    this.#last.set(topic, settled);
    return turn;
  }

  #done(topic, settled) {
    if (this.#last.get(topic) === settled) this.#last.delete(topic);
  }

  /** A stored send bears a key: repeated after an answer that was lost, it is answered with the first one's message. */
  async #attempt(topic, content, { ephemeral = false, key = unique() }, until) {
    const path = `/v1/topics/${inPath(topic)}/messages`;
    if (ephemeral) return this.#call("POST", path, { content, ephemeral });
    const headers = { "Idempotency-Key": key };
    for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
      try {
        return await this.#call("POST", path, { content }, { headers });
      } catch (error) {
        if (!error.passing || Date.now() >= until) throw error;
        const asked = 1000 * (error.retryAfter ?? 0);
        await pause(Math.max(asked, wait * (0.5 + Math.random())));
      }
    }
  }
}
