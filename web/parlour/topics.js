/** The topics of a session: what the stream says of each goes to it, in the order in which it comes. */

import { pause } from "./api.js";
import { Topic } from "./topic.js";

/** How long the stream may take to say why it does not carry a topic, in milliseconds. */
const EXPLAINING = 2_000;

export class Topics {
  #host;
  #place;
  #topics = new Map();

  /** `host` is the client. */
  constructor(host, place) {
    [this.#host, this.#place] = [host, place];
  }

  get all() {
    return this.#topics;
  }

  /** The last entry of a topic that this tab has shown, now or before it was loaded anew. */
  positionOf(id) {
    return this.#topics.get(id)?.position ?? this.#place.positionOf(id) ?? 0;
  }

  /** An event of the stream. */
  happened(event, data, signal) {
    if (event === "ready") return this.#ready(data.topics, signal);
    if (event === "activity") return this.#emit("activity", data);
    if (event === "left") return this.left(data.topic, data.reason);
    const topic = this.#known(data.topic);
    if (event === "message" && data.seq === undefined) topic.emit("ephemeral", data);
    else if (event === "message") topic.receive(data);
    else if (event === "gap") topic.gap(data);
    else if (event === "presence_state") topic.here(data);
    else if (event === "presence") topic.moved(data);
    else if (event === "typing") topic.emit("typing", data);
  }

  /** What a join has answered. */
  joined(answer) {
    const topic = this.#known(answer.topic.id);
    topic.joined(answer);
    return topic;
  }

  left(id, reason) {
    // A direct message may be called by the other user alone.
    const topic = this.#topics.get(id) ?? this.#topics.get(this.#asBoth(id));
    if (!topic) return;
    this.#topics.delete(topic.id);
    topic.end(reason);
  }

  /** What another tab begins with. */
  snapshots() {
    return [...this.#topics.values()].filter((topic) => topic.known).map((topic) => topic.snapshot());
  }

  /** Begins with another tab's. What this one had, and that one has not, was left while this one was away. */
  begin(snapshots, had) {
    snapshots.forEach((snapshot) => this.joined(snapshot));
    const ids = new Set(snapshots.map(({ topic }) => topic.id));
    had.filter((id) => !ids.has(id)).forEach((id) => this.left(id, "gone"));
  }

  clear() {
    this.#topics.clear();
  }

  /** The stream begins. What it does not carry has been left: it says why, or this tab had never heard of that. */
  async #ready(topics, signal) {
    const carried = new Set(topics.map(({ topic }) => topic));
    const missing = [...this.#topics.values()].filter(({ id }) => !carried.has(id));
    topics.forEach(({ topic, position }) => this.#known(topic).reach(position));
    missing.forEach((topic) => topic.doubt());
    if (missing.length === 0 || !(await pause(EXPLAINING, signal))) return;
    missing.filter((topic) => topic.doubted).forEach(({ id }) => this.left(id, "gone"));
  }

  /** A topic, joined as it must have been where the stream says something of it. */
  #known(id) {
    const known = this.#topics.get(id);
    if (known) return known.trust();
    const topic = new Topic(id, this.#host, this.#place.positionOf(id));
    this.#topics.set(id, topic);
    this.#emit("joined", topic);
    return topic;
  }

  #asBoth(id) {
    const other = /^dm:([^:]+)$/.exec(id)?.[1];
    return other && [...this.#topics.keys()].find((key) => key.startsWith("dm:") && key.split(":").includes(other));
  }

  #emit(type, detail) {
    this.#host.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
