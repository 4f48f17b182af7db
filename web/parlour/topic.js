/**
 * A joined topic: its messages in the order of `seq`, each once, whatever the stream repeats, skips or never says; and
 * who is here.
 */

import { pause } from "./api.js";
import { Timeline } from "./timeline.js";

/** What a code makes of an entry; all others are messages. */
const KINDS = { 6: "edit", 7: "removal" };
/** How many entries are read at once to fill a gap, and the pause after a failure, in milliseconds. */
const [FILL_PAGE, FILL_PAUSE] = [100, 2_000];

export class Topic extends EventTarget {
  #host;
  #name = null;
  #position = null;
  /** What is to be shown in its turn, while something before it is being read. */
  #queue = [];
  #working = false;
  #left = false;
  doubted = false;
  #presences = new Map();
  #count = 0;
  #truncated = false;

  /** `host` is the client; `position` what this tab has shown before a reload, or null. */
  constructor(id, host, position = null) {
    super();
    this.id = id;
    this.#host = host;
    this.#position = position;
  }

  get parlour() {
    return this.#host;
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
    return this.#count;
  }

  get truncated() {
    return this.#truncated;
  }

  send(content, options) {
    return this.#host.send(this.id, content, options);
  }

  history(query) {
    return this.#host.history(this.id, query);
  }

  edit(messageId, content) {
    return this.#host.edit(this.id, messageId, content);
  }

  remove(messageId) {
    return this.#host.remove(this.id, messageId);
  }

  markRead(seq = this.position) {
    return this.#host.markRead(this.id, seq);
  }

  typing() {
    return this.#host.typing(this.id);
  }

  leave() {
    return this.#host.leave(this.id);
  }

  timeline(options) {
    return new Timeline(this, options);
  }

  /** Tells listeners here, and those of the client. */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
    this.#host.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // What the client calls, and nobody else.

  /** What a join has answered, here or in another tab. */
  joined({ topic, position, ...presences }) {
    this.#name = topic.name ?? this.#name;
    this.reach(position);
    this.here(presences);
  }

  /** It has begun anew, in another database: what was shown is no measure any more. */
  restart(position) {
    [this.#position, this.#queue] = [position, []];
  }

  /** Whether it is known what is to be shown next. */
  get known() {
    return this.#position !== null;
  }

  /** The stream does not carry it, and has not said why. */
  doubt() {
    this.doubted = true;
  }

  trust() {
    this.doubted = false;
    return this;
  }

  /** An entry has come from the stream. */
  receive(message) {
    this.#take({ to: message.seq - 1, message });
  }

  /** The stream has left something out. */
  gap({ from_seq, to_seq, pruned = false }) {
    this.#take({ gap: { topic: this, from_seq, to_seq, pruned } });
  }

  /** What the topic has come to by other knowledge: whatever is missing until there is read. */
  reach(seq) {
    this.#take({ to: seq });
  }

  /** The whole list of those present. */
  here({ presences, presence_count: count, truncated = false }) {
    const now = new Map(presences.map((presence) => [presence.session_id, presence]));
    const joins = presences.filter(({ session_id }) => !this.#presences.has(session_id));
    const leaves = [...this.#presences.values()].filter(({ session_id }) => !now.has(session_id));
    this.#presences = now;
    this.#changed(joins, leaves, count, truncated);
  }

  /** The difference. */
  moved({ joins, leaves, presence_count: count, truncated = false }) {
    const came = joins.filter(({ session_id }) => !this.#presences.has(session_id));
    const went = leaves.filter(({ session_id }) => this.#presences.has(session_id));
    joins.forEach((presence) => this.#presences.set(presence.session_id, presence));
    leaves.forEach(({ session_id }) => this.#presences.delete(session_id));
    this.#changed(came, went, count, truncated);
  }

  /** It is over. */
  end(reason) {
    this.#left = true;
    this.#queue = [];
    this.emit("left", { topic: this, reason });
  }

  /** For another tab, which begins with it. */
  snapshot() {
    return {
      topic: { id: this.id, name: this.#name ?? undefined },
      position: this.position,
      presences: [...this.#presences.values()],
      presence_count: this.#count,
      truncated: this.#truncated,
    };
  }

  #changed(joins, leaves, count, truncated) {
    const same = joins.length === 0 && leaves.length === 0 && count === this.#count && truncated === this.#truncated;
    [this.#count, this.#truncated] = [count, truncated];
    if (!same) this.emit("presence", { topic: this, joins, leaves });
  }

  /** Shows what is next at once, and keeps what has something before it that must be read first. */
  #take(item) {
    if (this.#left) return;
    // Whatever comes first says where this begins.
    if (this.#position === null) this.#position = item.gap ? item.gap.from_seq - 1 : item.to;
    this.#queue.push(item);
    if (!this.#working) this.#work();
  }

  async #work() {
    this.#working = true;
    while (this.#queue.length > 0) {
      const { to, message, gap } = this.#queue[0];
      // Awaited only where there is something to read, or what arrives in one piece would be shown in many.
      if (to > this.#position) await this.#fill(this.#position + 1, to);
      else if (gap) await this.#skip(gap);
      if (this.#left) break;
      if (message) this.#show(message);
      this.#queue.shift();
    }
    this.#working = false;
  }

  #show(message) {
    if (message.seq <= this.#position) return;
    this.#position = message.seq;
    this.emit(KINDS[message.code] ?? "message", message);
  }

  async #skip(gap) {
    const from = Math.max(gap.from_seq, this.position + 1);
    if (gap.to_seq < from) return;
    if (gap.pruned) this.#miss({ ...gap, from_seq: from });
    else await this.#fill(from, gap.to_seq);
  }

  /** Moves behind what is not shown, and says so. */
  #miss(gap) {
    this.#position = gap.to_seq;
    this.emit("gap", gap);
  }

  /** Shows what history has from one number to another; where that is too much, only the last of it. */
  async #fill(from, to) {
    const first = Math.max(from, to - this.#host.fill + 1);
    if (first > from) this.#miss({ topic: this, from_seq: from, to_seq: first - 1, pruned: false });
    while (this.#position < to && !this.#left) {
      const next = this.#position + 1;
      const page = await this.#read(next);
      if (this.#left) return;
      if (!page) return this.#miss({ topic: this, from_seq: next, to_seq: to, pruned: false });
      const [oldest] = page.messages;
      // History is pruned from its beginning: what lies before its first entry is gone.
      const until = Math.min(oldest ? oldest.seq - 1 : to, to);
      if (until >= next) this.#miss({ topic: this, from_seq: next, to_seq: until, pruned: true });
      page.messages.forEach((message) => this.#show(message));
    }
  }

  /** A page of history, as soon as the service can be reached; null where it is not to be had any more. */
  async #read(seq) {
    for (;;) {
      try {
        return await this.history({ direction: "forward", at_seq: seq, limit: FILL_PAGE, changes: true });
      } catch (error) {
        if (!error.passing || this.#left) return null;
        await pause(FILL_PAUSE * (0.5 + Math.random()));
      }
    }
  }
}
