/** A window onto a topic's messages: pages of history in both directions, and new messages as they arrive. */

import { uniqueId } from "./api.js";

export class Timeline extends EventTarget {
  #pageSize;
  #maxMessages;
  #messages = [];
  #pending = [];
  #gaps = [];
  #newerCount = 0;
  #atStart = false;
  #atEnd = false;
  /** Grows with each `open`. A page that was requested before the last `open` is dropped. */
  #openCount = 0;
  /**
   * The events that arrive while a page is read, in order; null while none is read. The page may already contain them.
   */
  #buffer = null;
  /** The direction of the last page: the other end is the one that is trimmed. */
  #direction = "newer";
  #changeScheduled = false;
  /** Aborts the listeners when the timeline is closed. */
  #closed = new AbortController();

  constructor(topic, { page = 50, keep = 300 } = {}) {
    super();
    this.topic = topic;
    this.#pageSize = page;
    this.#maxMessages = Math.max(keep, 2 * page);
    for (const kind of ["message", "edit", "removal", "gap"]) {
      topic.addEventListener(kind, ({ detail }) => this.#receive(kind, detail), { signal: this.#closed.signal });
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

  get newerCount() {
    return this.#newerCount;
  }

  async open(at) {
    this.#openCount += 1;
    this.#buffer = null;
    await this.#read(async () => {
      const later = at ? await this.#history("forward", at.time ? { at_time: at.time } : { at_seq: at.seq }) : [];
      // If there is nothing at that point or after it, the window opens at the newest message.
      const before = later.length > 0 ? { at_seq: later[0].seq - 1 } : {};
      const earlier = before.at_seq === 0 ? [] : await this.#history("backward", before);
      return () => {
        this.#messages = [...earlier, ...later];
        this.#newerCount = 0;
        this.#direction = "newer";
        this.#atStart = earlier.length < this.#pageSize;
        this.#atEnd = later.length < this.#pageSize;
      };
    });
  }

  async older() {
    const [first] = this.#messages;
    if (this.#buffer || this.#atStart || !first) return;
    await this.#read(async () => {
      const page = first.seq > 1 ? await this.#history("backward", { at_seq: first.seq - 1 }) : [];
      return () => {
        this.#direction = "older";
        this.#atStart = page.length < this.#pageSize;
        this.#messages = [...page, ...this.#messages];
        this.#trim();
      };
    });
  }

  async newer() {
    const last = this.#messages.at(-1);
    if (this.#buffer || this.#atEnd || !last) return;
    await this.#read(async () => {
      const page = await this.#history("forward", { at_seq: last.seq + 1 });
      return () => {
        this.#direction = "newer";
        this.#atEnd = page.length < this.#pageSize;
        this.#newerCount = this.#atEnd ? 0 : Math.max(0, this.#newerCount - page.length);
        this.#messages = [...this.#messages, ...page];
        this.#trim();
      };
    });
  }

  async send(content) {
    const { user } = this.topic.parlour;
    const created_at = new Date().toISOString();
    const pending = { key: uniqueId(), content, sender: user, created_at, state: "sending", error: null };
    this.#pending = [...this.#pending, pending];
    this.#scheduleChange();
    // Moves to the newest messages, after which the user's own one is shown.
    if (!this.#atEnd) this.open().catch(() => {});
    await this.#sendPending(pending);
  }

  async retry(key) {
    const pending = this.#pending.find((one) => one.key === key);
    if (pending?.state !== "failed") return;
    await this.#sendPending(this.#updatePending(key, { state: "sending", error: null }));
  }

  discard(key) {
    this.#pending = this.#pending.filter((one) => one.key !== key);
    this.#scheduleChange();
  }

  close() {
    this.#openCount += 1;
    this.#closed.abort();
  }

  async #sendPending({ key, content }) {
    try {
      const { id, seq } = await this.topic.send(content, { key });
      // The stream may have brought the message before this response. If not, the message stays pending until it does.
      if (seq <= this.topic.position) this.discard(key);
      else this.#updatePending(key, { state: "sent", id });
    } catch (error) {
      this.#updatePending(key, { state: "failed", error });
    }
  }

  #updatePending(key, changes) {
    this.#pending = this.#pending.map((one) => (one.key === key ? { ...one, ...changes } : one));
    this.#scheduleChange();
    return this.#pending.find((one) => one.key === key);
  }

  /**
   * Runs `fetchPage`, which returns a function that applies the page; then applies the events that arrived meanwhile.
   */
  async #read(fetchPage) {
    const openCount = this.#openCount;
    this.#buffer = [];
    try {
      const applyPage = await fetchPage();
      if (openCount !== this.#openCount) return;
      const buffered = this.#buffer;
      this.#buffer = null;
      applyPage();
      buffered.forEach(([kind, detail]) => this.#apply(kind, detail));
      this.#scheduleChange();
    } finally {
      if (openCount === this.#openCount) this.#buffer = null;
    }
  }

  /** Reads a page. Returns its messages, oldest first. */
  async #history(direction, start) {
    const { messages } = await this.topic.history({ direction, limit: this.#pageSize, ...start });
    return direction === "backward" ? messages.reverse() : messages;
  }

  #receive(kind, detail) {
    if (kind === "message") this.#removePending(detail);
    if (this.#buffer) this.#buffer.push([kind, detail]);
    else this.#apply(kind, detail);
    this.#scheduleChange();
  }

  #apply(kind, detail) {
    if (kind === "message") this.#append(detail);
    else if (kind === "edit") this.#change(detail, { content: detail.content.content, edited_at: detail.created_at });
    else if (kind === "removal") this.#change(detail, { content: null, removed_at: detail.created_at });
    else if (detail.pruned) this.#gaps = [...this.#gaps, detail];
    else this.#skip(detail);
  }

  #append(message) {
    // While the user reads an older page, a full window does not move away from it.
    if (this.#direction === "older" && this.#messages.length >= this.#maxMessages) this.#atEnd = false;
    if (message.seq <= (this.#messages.at(-1)?.seq ?? 0)) return;
    if (!this.#atEnd) {
      this.#newerCount += 1;
      return;
    }
    this.#messages = [...this.#messages, message];
    this.#trim();
  }

  /** Counts the messages of a gap that history still has: the window no longer ends with the newest message. */
  #skip({ from_seq, to_seq }) {
    this.#atEnd = false;
    this.#newerCount += to_seq - from_seq + 1;
  }

  /** Applies an edit or a removal to the message that it names. */
  #change(entry, changes) {
    const id = entry.content.message_id;
    this.#messages = this.#messages.map((message) => (message.id === id ? { ...message, ...changes } : message));
  }

  /**
   * Removes the pending message that has arrived as a stored one. The response of the send may not be here yet, so the
   * id may be unknown: then the content decides.
   */
  #removePending({ id, sender, content }) {
    const json = JSON.stringify(content);
    const isSame = (one) =>
      one.state === "sending" && one.sender.user_id === sender.user_id && JSON.stringify(one.content) === json;
    const found = this.#pending.find((one) => one.id === id) ?? this.#pending.find(isSame);
    if (found) this.#pending = this.#pending.filter((one) => one !== found);
  }

  /** Drops the messages that are farthest from the page that was read last. */
  #trim() {
    const surplus = this.#messages.length - this.#maxMessages;
    if (surplus <= 0) return;
    if (this.#direction === "newer") {
      this.#messages = this.#messages.slice(surplus);
      this.#atStart = false;
    } else {
      this.#messages = this.#messages.slice(0, -surplus);
      this.#atEnd = false;
    }
  }

  /** Dispatches one `change` for all changes of the current task. */
  #scheduleChange() {
    if (this.#changeScheduled) return;
    this.#changeScheduled = true;
    queueMicrotask(() => {
      this.#changeScheduled = false;
      if (!this.#closed.signal.aborted) this.dispatchEvent(new CustomEvent("change"));
    });
  }
}
