/** The joined topics of a session. Each event of the stream goes to its topic, in the order in which it comes. */

import { delay } from "./delay.js";
import { Topic } from "./topic.js";

/**
 * The time in which the stream must send `left` for a topic that `ready` did not list, in milliseconds. After that the
 * topic counts as left for an unknown reason.
 */
const LEFT_TIMEOUT = 2_000;

export class JoinedTopics {
  #client;
  #resumeState;
  #topics = new Map();

  constructor(client, resumeState) {
    this.#client = client;
    this.#resumeState = resumeState;
  }

  /** By id. */
  get all() {
    return this.#topics;
  }

  /**
   * Returns the `seq` of the last entry that this tab has shown of a topic, also before a reload; 0 if there is none.
   */
  positionOf(id) {
    return this.#topics.get(id)?.position ?? this.#resumeState.positionOf(id) ?? 0;
  }

  /** Handles an event of the stream. The signal aborts when the client closes. */
  handleEvent(event, data, signal) {
    if (event === "ready") return this.#handleReady(data.topics, signal);
    if (event === "activity") return this.#emit("activity", data);
    if (event === "left") return this.remove(data.topic, data.reason);
    const topic = this.#getOrAdd(data.topic);
    if (event === "message" && data.seq === undefined) topic.emit("ephemeral", data);
    else if (event === "message") topic.receive(data);
    else if (event === "gap") topic.receiveGap(data);
    else if (event === "presence_state") topic.setPresences(data);
    else if (event === "presence") topic.changePresences(data);
    else if (event === "typing") topic.emit("typing", data);
  }

  /** Adds the topic of a join's response, or updates it. Returns the topic. */
  add(joined) {
    const topic = this.#getOrAdd(joined.topic.id);
    topic.update(joined);
    return topic;
  }

  remove(id, reason) {
    const topic = this.#topics.get(id) ?? this.#topics.get(this.#fullDmId(id));
    if (!topic) return;
    this.#topics.delete(topic.id);
    topic.end(reason);
  }

  /** Returns what a new follower starts with: one snapshot of each topic. */
  snapshots() {
    return [...this.#topics.values()].filter((topic) => topic.hasPosition).map((topic) => topic.snapshot());
  }

  /**
   * Starts with the snapshots of the leader. Topics of `previousIds` that have none were left while this tab did not
   * receive messages.
   */
  restore(snapshots, previousIds) {
    snapshots.forEach((snapshot) => this.add(snapshot));
    const ids = new Set(snapshots.map(({ topic }) => topic.id));
    previousIds.filter((id) => !ids.has(id)).forEach((id) => this.remove(id, "gone"));
  }

  clear() {
    this.#topics.clear();
  }

  /**
   * The stream has started. A topic that it does not carry has been left: the stream sends `left` with the reason,
   * unless it sent that before this tab could receive it.
   */
  async #handleReady(topics, signal) {
    const carried = new Set(topics.map(({ topic }) => topic));
    const missing = [...this.#topics.values()].filter(({ id }) => !carried.has(id));
    topics.forEach(({ topic, position }) => this.#getOrAdd(topic).observeEnd(position));
    missing.forEach((topic) => topic.markMissing());
    if (missing.length === 0 || !(await delay(LEFT_TIMEOUT, signal))) return;
    missing.filter((topic) => topic.isMissing).forEach(({ id }) => this.remove(id, "gone"));
  }

  /** Returns a topic that the stream or a join has named. Adds it if it is new: another tab may have joined it. */
  #getOrAdd(id) {
    const existing = this.#topics.get(id);
    if (existing) {
      existing.markPresent();
      return existing;
    }
    const topic = new Topic(id, this.#client, this.#resumeState.positionOf(id));
    this.#topics.set(id, topic);
    this.#emit("joined", topic);
    return topic;
  }

  /** Returns the id `dm:A:B` of a joined direct message that is named `dm:USER`, or undefined. */
  #fullDmId(id) {
    const user = /^dm:([^:]+)$/.exec(id)?.[1];
    return user && [...this.#topics.keys()].find((key) => key.startsWith("dm:") && key.split(":").includes(user));
  }

  #emit(type, detail) {
    this.#client.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
