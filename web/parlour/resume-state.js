/**
 * The state that a tab needs to resume after a reload: the stream's last event id, and the position in each topic. It
 * is kept in `sessionStorage`.
 */

import { BrowserStorage } from "./storage.js";

/** The delay before a new event id is saved, in milliseconds. The state is also saved when the page is hidden. */
const SAVE_DELAY = 1_000;

export class ResumeState {
  #key;
  #joinedTopics;
  #storage = new BrowserStorage("sessionStorage");
  #session = null;
  #lastId = null;
  /** The position in each topic, as saved before the reload. */
  #savedPositions = {};
  #saveTimer = null;

  /** `joinedTopics` returns the map of the joined topics. */
  constructor(key, joinedTopics) {
    this.#key = `${key} place`;
    this.#joinedTopics = joinedTopics;
  }

  /** The id of the last event that this tab has handled, or null. */
  get lastId() {
    return this.#lastId;
  }

  set lastId(id) {
    this.#lastId = id;
    this.#saveTimer ??= setTimeout(() => this.save(), SAVE_DELAY);
  }

  /** Returns the `seq` of the last entry of a topic that this tab showed before the reload, or null. */
  positionOf(topic) {
    return this.#savedPositions[topic] ?? null;
  }

  /**
   * Starts with a session. Returns the topics that have to be joined again, because the same user had another session
   * before the reload.
   */
  begin(session) {
    const saved = this.#storage.get(this.#key);
    if (this.#session && this.#session.id !== session.id) this.#lastId = null;
    this.#session = session;
    if (saved?.user !== session.user.user_id) return [];
    this.#savedPositions = saved.positions;
    if (saved.session !== session.id) return Object.keys(saved.positions);
    this.#lastId ??= saved.lastId;
    return [];
  }

  save() {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = null;
    if (!this.#session) return;
    const topics = [...this.#joinedTopics().values()].filter((topic) => topic.hasPosition);
    const positions = Object.fromEntries(topics.map(({ id, position }) => [id, position]));
    const { id: session, user } = this.#session;
    this.#storage.set(this.#key, { session, user: user.user_id, lastId: this.#lastId, positions });
  }

  /** Removes everything, so that the next user of this tab starts without it. */
  clear() {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = null;
    this.#session = null;
    this.#lastId = null;
    this.#savedPositions = {};
    this.#storage.remove(this.#key);
  }
}
