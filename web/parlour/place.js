/** How far this tab has come, kept over its reloads: the stream's last id, and the position in each topic. */

import { Storage } from "./storage.js";

/** How often it is kept, in milliseconds, beside when the page goes. */
const OFTEN = 1_000;

export class Place {
  #key;
  #topics;
  #store = new Storage("sessionStorage");
  #session = null;
  #lastId = null;
  /** What was kept before the reload. */
  #positions = {};
  #timer = null;

  /** `topics` answers what is joined by now. */
  constructor(key, topics) {
    [this.#key, this.#topics] = [`${key} place`, topics];
  }

  get lastId() {
    return this.#lastId;
  }

  set lastId(id) {
    this.#lastId = id;
    this.#timer ??= setTimeout(() => this.keep(), OFTEN);
  }

  /** The last entry of a topic that this tab showed before it was loaded anew, or null. */
  positionOf(topic) {
    return this.#positions[topic] ?? null;
  }

  /** A session begins. Answers what is to be joined, where it is not the one that this tab had before. */
  begin(session) {
    const kept = this.#store.get(this.#key);
    if (this.#session && this.#session.id !== session.id) this.#lastId = null;
    this.#session = session;
    if (kept?.user !== session.user.user_id) return [];
    this.#positions = kept.positions;
    if (kept.session !== session.id) return Object.keys(kept.positions);
    this.#lastId ??= kept.lastId;
    return [];
  }

  keep() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#session) return;
    const topics = [...this.#topics().values()].filter((topic) => topic.known);
    const positions = Object.fromEntries(topics.map(({ id, position }) => [id, position]));
    const [session, user] = [this.#session.id, this.#session.user.user_id];
    this.#store.set(this.#key, { session, user, lastId: this.#lastId, positions });
  }

  forget() {
    clearTimeout(this.#timer);
    [this.#timer, this.#session, this.#lastId, this.#positions] = [null, null, null, {}];
    this.#store.remove(this.#key);
  }
}
