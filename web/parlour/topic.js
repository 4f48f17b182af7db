/**
 * A joined topic: its entries in the order of `seq`, each once, even if the stream repeats or leaves out some; and its
 * presences.
 */

import { delay, withJitter } from "./delay.js";
import { Timeline } from "./timeline.js";

/** The event of an entry by its code. All other entries are a `message`. */
const EVENTS = { 6: "edit", 7: "removal" };
/** The number of entries that catch-up reads in one call. */
const CATCH_UP_PAGE = 100;
/** The delay before a failed read of catch-up is retried, in milliseconds. */
const CATCH_UP_RETRY_DELAY = 2_000;

export class Topic extends EventTarget {
  #client;
  #name = null;
  #position = null;
  /** Entries, gaps and ends in the order of arrival, while catch-up reads what comes before them. */
  #queue = [];
  #draining = false;
  #ended = false;
  /** True while the stream has not listed this topic and has not sent `left` for it. */
  isMissing = false;
  #presences = new Map();
  #presenceCount = 0;
  #truncated = false;

  /** `position` is the `seq` of the last entry that this tab has shown before a reload, or null. */
  constructor(id, client, position = null) {
    super();
    this.id = id;
    this.#client = client;
    this.#position = position;
  }

  get parlour() {
    return this.#client;
  }

  get type() {
    return this.id.slice(0, this.id.indexOf(":"));
  }

  get name() {
    return this.type === "room" ? this.id.slice("room:".length) : this.#name;
  }

  get position() {
    return this.#position ?? 0;
  }

  get presences() {
    return this.#presences;
  }

  get presenceCount() {
    return this.#presenceCount;
  }

  get truncated() {
    return this.#truncated;
  }

  send(content, options) {
    return this.#client.send(this.id, content, options);
  }

  history(query) {
    return this.#client.history(this.id, query);
  }

  edit(messageId, content) {
    return this.#client.edit(this.id, messageId, content);
  }

  remove(messageId) {
    return this.#client.remove(this.id, messageId);
  }

  markRead(seq = this.position) {
    return this.#client.markRead(this.id, seq);
  }

  typing() {
    return this.#client.typing(this.id);
  }

  leave() {
    return this.#client.leave(this.id);
  }

  timeline(options) {
    return new Timeline(this, options);
  }

  // The methods below are called by the client only.

  /** Dispatches an event here and at the client. */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
    this.#client.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Takes the response of a join, made by this tab or another. */
  update({ topic, position, ...presences }) {
    this.#name = topic.name ?? this.#name;
    this.observeEnd(position);
    this.setPresences(presences);
  }

  /**
   * Starts again at a position: the log has begun anew in another database, and the old position means nothing there.
   */
  restart(position) {
    this.#position = position;
    this.#queue = [];
  }

  /** True if the topic has a position: the next entry to show is determined. */
  get hasPosition() {
    return this.#position !== null;
  }

  markMissing() {
    this.isMissing = true;
  }

  markPresent() {
    this.isMissing = false;
  }

  /** Takes an entry of the stream. */
  receive(message) {
    this.#enqueue({ end: message.seq - 1, message });
  }

  /** Takes a `gap` of the stream: entries that the stream leaves out. */
  receiveGap({ from_seq, to_seq, pruned = false }) {
    this.#enqueue({ gap: { topic: this, from_seq, to_seq, pruned } });
  }

  /** Records that the log ends at `seq` or later. Catch-up reads the entries up to there that are missing. */
  observeEnd(seq) {
    this.#enqueue({ end: seq });
  }

  /** Replaces the list of presences by a complete one. */
  setPresences({ presences, presence_count: count, truncated = false }) {
    const current = new Map(presences.map((presence) => [presence.session_id, presence]));
    const joins = presences.filter(({ session_id }) => !this.#presences.has(session_id));
    const leaves = [...this.#presences.values()].filter(({ session_id }) => !current.has(session_id));
    this.#presences = current;
    this.#updatePresenceCount(joins, leaves, count, truncated);
  }

  /** Applies a difference to the list of presences. */
  changePresences({ joins, leaves, presence_count: count, truncated = false }) {
    const newJoins = joins.filter(({ session_id }) => !this.#presences.has(session_id));
    const newLeaves = leaves.filter(({ session_id }) => this.#presences.has(session_id));
    joins.forEach((presence) => this.#presences.set(presence.session_id, presence));
    leaves.forEach(({ session_id }) => this.#presences.delete(session_id));
    this.#updatePresenceCount(newJoins, newLeaves, count, truncated);
  }

  /** The topic has been left: nothing more is shown. */
  end(reason) {
    this.#ended = true;
    this.#queue = [];
    this.emit("left", { topic: this, reason });
  }

  /** Returns the topic in the shape of a join's response, for a new follower. */
  snapshot() {
    return {
      topic: { id: this.id, name: this.#name ?? undefined },
      position: this.position,
      presences: [...this.#presences.values()],
      presence_count: this.#presenceCount,
      truncated: this.#truncated,
    };
  }

  #updatePresenceCount(joins, leaves, count, truncated) {
    const isSameCount = count === this.#presenceCount && truncated === this.#truncated;
    this.#presenceCount = count;
    this.#truncated = truncated;
    if (joins.length === 0 && leaves.length === 0 && isSameCount) return;
    this.emit("presence", { topic: this, joins, leaves });
  }

  /** Shows the item at once if it is the next one; otherwise it waits for catch-up. */
  #enqueue(item) {
    if (this.#ended) return;
    // The first item determines where this topic starts.
    if (this.#position === null) this.#position = item.gap ? item.gap.from_seq - 1 : item.end;
    this.#queue.push(item);
    if (!this.#draining) this.#drain();
  }

  async #drain() {
    this.#draining = true;
    while (this.#queue.length > 0) {
      const { end, message, gap } = this.#queue[0];
      // Awaits only if there is something to read: entries that arrive together are shown together.
      if (end > this.#position) await this.#catchUp(this.#position + 1, end);
      else if (gap) await this.#handleGap(gap);
      if (this.#ended) break;
      if (message) this.#show(message);
      this.#queue.shift();
    }
    this.#draining = false;
  }

  #show(message) {
    if (message.seq <= this.#position) return;
    this.#position = message.seq;
    this.emit(EVENTS[message.code] ?? "message", message);
  }

  async #handleGap(gap) {
    const from = Math.max(gap.from_seq, this.position + 1);
    if (gap.to_seq < from) return;
    if (gap.pruned) this.#skip({ ...gap, from_seq: from });
    else await this.#catchUp(from, gap.to_seq);
  }

  /** Moves the position to the end of a gap, and dispatches the gap. */
  #skip(gap) {
    this.#position = gap.to_seq;
    this.emit("gap", gap);
  }

  /**
   * Shows the entries `from` to `to` from history. If they are more than `fill`, only the last ones; the others are a
   * gap.
   */
  async #catchUp(from, to) {
    const first = Math.max(from, to - this.#client.fill + 1);
    if (first > from) this.#skip({ topic: this, from_seq: from, to_seq: first - 1, pruned: false });
    while (this.#position < to && !this.#ended) {
      const next = this.#position + 1;
      const page = await this.#readPage(next);
      if (this.#ended) return;
      if (!page) return this.#skip({ topic: this, from_seq: next, to_seq: to, pruned: false });
      const [oldest] = page.messages;
      // History is pruned from its beginning: entries before the first one of the page no longer exist.
      const prunedTo = Math.min(oldest ? oldest.seq - 1 : to, to);
      if (prunedTo >= next) this.#skip({ topic: this, from_seq: next, to_seq: prunedTo, pruned: true });
      page.messages.forEach((message) => this.#show(message));
    }
  }

  /**
   * Reads a page of history, and retries until the service responds. Returns null if the history cannot be read any
   * more.
   */
  async #readPage(seq) {
    for (;;) {
      try {
        return await this.history({ direction: "forward", at_seq: seq, limit: CATCH_UP_PAGE, changes: true });
      } catch (error) {
        if (!error.retryable || this.#ended) return null;
        await delay(withJitter(CATCH_UP_RETRY_DELAY));
      }
    }
  }
}
