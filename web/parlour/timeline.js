/** A window onto a topic's messages: what was, in both directions, and what arrives. */

import { unique } from "./api.js";

export class Timeline extends EventTarget {
  #page;
  #keep;
  #messages = [];
  #pending = [];
  #gaps = [];
  #behind = 0;
  #atStart = false;
  #atEnd = false;
  /** Grows with each `open`: what an earlier one still reads is not wanted any more. */
  #opening = 0;
  /** What has arrived while a page was being read, which may be older than that. */
  #meanwhile = null;
  #direction = "newer";
  #telling = false;
  #listening = new AbortController();

  constructor(topic, { page = 50, keep = 300 } = {}) {
    super();
    this.topic = topic;
    [this.#page, this.#keep] = [page, Math.max(keep, 2 * page)];
    for (const kind of ["message", "edit", "removal", "gap"]) {
      topic.addEventListener(kind, ({ detail }) => this.#arrived(kind, detail), { signal: this.#listening.signal });
    }
  }

  get messages() {
    return this.#messages;
  }

  get pending() {
    return this.#pending;
  }

  get gaps() {
    return this.#gaps;
  }

  get atStart() {
    return this.#atStart;
  }

  get atEnd() {
    return this.#atEnd;
  }

  get behind() {
    return this.#behind;
  }

  /** Begins anew: at the newest, or around a message or a time. */
  async open(at) {
    this.#opening += 1;
    this.#meanwhile = null;
    await this.#read(async () => {
      const later = at ? await this.#history("forward", at.time ? { at_time: at.time } : { at_seq: at.seq }) : [];
      // Where nothing is as late as that, it begins at the newest.
      const before = later.length > 0 ? { at_seq: later[0].seq - 1 } : {};
      const earlier = before.at_seq === 0 ? [] : await this.#history("backward", before);
      return () => {
        [this.#messages, this.#behind, this.#direction] = [[...earlier, ...later], 0, "newer"];
        this.#atStart = earlier.length < this.#page;
        this.#atEnd = later.length < this.#page;
      };
    });
  }

  async older() {
    const [first] = this.#messages;
    if (this.#meanwhile || this.#atStart || !first) return;
    await this.#read(async () => {
      const page = first.seq > 1 ? await this.#history("backward", { at_seq: first.seq - 1 }) : [];
      return () => {
        this.#direction = "older";
        this.#atStart = page.length < this.#page;
        this.#messages = [...page, ...this.#messages];
        this.#trim();
      };
    });
  }

  async newer() {
    const last = this.#messages.at(-1);
    if (this.#meanwhile || this.#atEnd || !last) return;
    await this.#read(async () => {
      const page = await this.#history("forward", { at_seq: last.seq + 1 });
      return () => {
        this.#direction = "newer";
        this.#atEnd = page.length < this.#page;
        this.#behind = this.#atEnd ? 0 : Math.max(0, this.#behind - page.length);
        this.#messages = [...this.#messages, ...page];
        this.#trim();
      };
    });
  }

  async send(content) {
    const { user } = this.topic.parlour;
    const created_at = new Date().toISOString();
    const pending = { key: unique(), content, sender: user, created_at, state: "sending", error: null };
    this.#pending = [...this.#pending, pending];
    this.#changed();
    // One's own message is to be seen.
    if (!this.#atEnd) this.open().catch(() => {});
    await this.#attempt(pending);
  }

  async retry(key) {
    const pending = this.#pending.find((one) => one.key === key);
    if (pending?.state !== "failed") return;
    await this.#attempt(this.#mark(key, { state: "sending", error: null }));
  }

  discard(key) {
    this.#pending = this.#pending.filter((one) => one.key !== key);
    this.#changed();
  }

  close() {
    this.#opening += 1;
    this.#listening.abort();
  }

  async #attempt({ key, content }) {
    try {
      const { id, seq } = await this.topic.send(content, { key });
      // The stream brings it, in its turn; it may have done so already.
      if (seq <= this.topic.position) this.discard(key);
      else this.#mark(key, { state: "sent", id });
    } catch (error) {
      this.#mark(key, { state: "failed", error });
    }
  }

  #mark(key, changes) {
    this.#pending = this.#pending.map((one) => (one.key === key ? { ...one, ...changes } : one));
    this.#changed();
    return this.#pending.find((one) => one.key === key);
  }

  /** Reads, works in what was read, then what has arrived meanwhile. */
  async #read(work) {
    const opening = this.#opening;
    this.#meanwhile = [];
    try {
      const apply = await work();
      if (opening !== this.#opening) return;
      const meanwhile = this.#meanwhile;
      this.#meanwhile = null;
      apply();
      meanwhile.forEach(([kind, detail]) => this.#take(kind, detail));
      this.#changed();
    } finally {
      if (opening === this.#opening) this.#meanwhile = null;
    }
  }

  /** A page, oldest first. */
  async #history(direction, start) {
    const { messages } = await this.topic.history({ direction, limit: this.#page, ...start });
    return direction === "backward" ? messages.reverse() : messages;
  }

  #arrived(kind, detail) {
    if (kind === "message") this.#resolve(detail);
    if (this.#meanwhile) this.#meanwhile.push([kind, detail]);
    else this.#take(kind, detail);
    this.#changed();
  }

  #take(kind, detail) {
    if (kind === "message") this.#append(detail);
    else if (kind === "edit") this.#replace(detail, { content: detail.content.content, edited_at: detail.created_at });
    else if (kind === "removal") this.#replace(detail, { content: null, removed_at: detail.created_at });
    else if (detail.pruned) this.#gaps = [...this.#gaps, detail];
    else [this.#atEnd, this.#behind] = [false, this.#behind + detail.to_seq - detail.from_seq + 1];
  }

  #append(message) {
    // While an earlier page is being looked at, the window is not moved away from it.
    if (this.#direction === "older" && this.#messages.length >= this.#keep) this.#atEnd = false;
    if (message.seq <= (this.#messages.at(-1)?.seq ?? 0)) return;
    if (!this.#atEnd) {
      this.#behind += 1;
      return;
    }
    this.#messages = [...this.#messages, message];
    this.#trim();
  }

  #replace(change, changes) {
    const id = change.content.message_id;
    this.#messages = this.#messages.map((message) => (message.id === id ? { ...message, ...changes } : message));
  }

  /** One of the user's own is here: it is pending no more. Its answer may still be on its way, so its content tells. */
  #resolve({ id, sender, content }) {
    const text = JSON.stringify(content);
    const isLike = (one) =>
      one.state === "sending" && one.sender.user_id === sender.user_id && JSON.stringify(one.content) === text;
    const found = this.#pending.find((one) => one.id === id) ?? this.#pending.find(isLike);
    if (found) this.#pending = this.#pending.filter((one) => one !== found);
  }

  /** Drops what is farthest from what was read last. */
  #trim() {
    const surplus = this.#messages.length - this.#keep;
    if (surplus <= 0) return;
    if (this.#direction === "newer") {
      this.#messages = this.#messages.slice(surplus);
      this.#atStart = false;
    } else {
      this.#messages = this.#messages.slice(0, -surplus);
      this.#atEnd = false;
    }
  }

  /** Tells once of all that has changed in one go. */
  #changed() {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      if (!this.#listening.signal.aborted) this.dispatchEvent(new CustomEvent("change"));
    });
  }
}
