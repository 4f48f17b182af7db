/**
 * What the page knows of all conversations: rooms, groups and direct messages, what is unread in each, and whom the user
 * blocks. Fires `change` when any of it is another, `open` for a topic that has been joined or lost.
 */

import { isEnd, preview } from "./words.js";

/** The most that are joined by the page itself; others are when they are opened. A session may join 200. */
const JOINS = 120;
/** How many are joined at once. */
const AT_ONCE = 4;
/** Pages of the inbox that are read. */
const PAGES = 5;
/** How often the inbox is read while the page is seen, in milliseconds: that one was added to a group, no event tells. */
const LOOK = 20_000;
/** How long a read mark waits for the next one, in milliseconds. */
const MARK = 400;

export class Store extends EventTarget {
  #marks = new Map();
  #looking = null;

  constructor(parlour) {
    super();
    this.parlour = parlour;
    /** Whose page this is, also when the session has ended. */
    this.me = parlour.user.user_id;
    /** By topic: `{ id, type, title, user, unread, read, last, refusal }`. */
    this.conversations = new Map();
    this.blocked = new Map();
    /** The user's groups, by topic, with their role. */
    this.groups = new Map();
    /** The topic that is being looked at. */
    this.active = null;
    this.#listen();
  }

  get unread() {
    return [...this.conversations.values()].reduce((sum, { unread }) => sum + unread, 0);
  }

  /** Reads the inbox and the blocks, and joins what the user takes part in. Answers whether that is anything. */
  async load() {
    await Promise.all([this.loadInbox(PAGES), this.loadBlocks()]);
    const rooms = Object.keys(this.#rooms()).map((name) => `room:${name}`);
    const all = [...rooms, ...this.#listedTopics()];
    this.#looking = setInterval(() => this.#look().catch(() => {}), LOOK);
    this.#joinAll(all);
    return all.length > 0;
  }

  /** Looks no more. */
  close() {
    clearInterval(this.#looking);
  }

  async #look() {
    if (document.visibilityState === "hidden" || this.parlour.state !== "live") return;
    const known = new Set(this.conversations.keys());
    await this.loadInbox();
    this.#joinAll(this.#listedTopics().filter((id) => !known.has(id)));
  }

  #listedTopics() {
    return [...this.conversations.values()].filter(({ type }) => type !== "room").map(({ id }) => id);
  }

  /** A few at a time: in turn they would take long, and all at once be too many calls. */
  #joinAll(topics) {
    const waiting = topics.filter((id) => !this.parlour.topics.has(id)).slice(0, JOINS - this.parlour.topics.size);
    const worker = async () => {
      for (let id = waiting.shift(); id; id = waiting.shift()) {
        const conversation = this.conversations.get(id);
        if (this.blocked.has(conversation?.user?.user_id)) conversation.refusal = { code: "blocked" };
        else await this.join(id).catch(() => {});
      }
    };
    for (let count = 0; count < AT_ONCE; count += 1) worker();
  }

  /** Reads pages of the inbox, which begins with what is newest. */
  async loadInbox(pages = 1) {
    let cursor;
    for (let page = 0; page < pages; page += 1) {
      const { topics, next_cursor } = await this.parlour.inbox({ limit: 100, cursor });
      topics.forEach((entry) => this.#listed(entry));
      if (!next_cursor) break;
      cursor = next_cursor;
    }
    this.#changed();
  }

  async loadBlocks() {
    this.blocked.clear();
    for (let cursor, more = true; more;) {
      const { blocks, next_cursor } = await this.parlour.call(
        "GET",
        `/v1/me/blocks?limit=100${cursor ? `&cursor=${cursor}` : ""}`,
      );
      blocks.forEach(({ user }) => this.blocked.set(user.user_id, user));
      [cursor, more] = [next_cursor, Boolean(next_cursor)];
    }
    this.#changed();
  }

  /** Joins a topic and answers its conversation. A refusal is kept with it, and thrown. */
  async join(id) {
    try {
      const topic = await this.parlour.join(id);
      const conversation = await this.#known(topic);
      this.#changed();
      return conversation;
    } catch (error) {
      const conversation = this.find(id);
      if (conversation && !error.passing) conversation.refusal = error;
      this.#changed();
      throw error;
    }
  }

  /** A conversation by its topic, as which a direct message may be called by the other user alone. */
  find(id) {
    const isShort = id.startsWith("dm:") && id.split(":").length === 2;
    return this.conversations.get(isShort ? this.dmWith(id.slice("dm:".length)) : id);
  }

  async leave(id) {
    await this.parlour.leave(id);
    this.#forget(id);
  }

  async block(user, blocked) {
    await this.parlour.call(blocked ? "PUT" : "DELETE", `/v1/me/blocks/${encodeURIComponent(user.user_id)}`);
    if (blocked) this.blocked.set(user.user_id, user);
    else this.blocked.delete(user.user_id);
    this.#changed();
    const dm = this.conversations.get(this.dmWith(user.user_id));
    if (dm && !blocked) await this.join(dm.id).catch(() => {});
  }

  /** The user has seen all that there is. */
  seen(id) {
    const conversation = this.conversations.get(id);
    const topic = this.parlour.topics.get(id);
    if (!conversation || !topic || conversation.read >= topic.position) return;
    [conversation.unread, conversation.read] = [0, topic.position];
    if (conversation.type === "room") this.#keepRoom(conversation);
    else this.#mark(id);
    this.#changed();
  }

  /** Whether the user is an admin there. */
  rules(id) {
    return ["admin", "superadmin"].includes(this.groups.get(id)?.role);
  }

  /** A group as it is now. */
  async loadGroup(id) {
    const group = await this.parlour.call("GET", `/v1/groups/${id.slice("group:".length)}`);
    this.groups.set(id, group);
    const conversation = this.conversations.get(id);
    if (conversation) conversation.title = group.name;
    this.#changed();
    return group;
  }

  /** What a direct message with this user is called. */
  dmWith(user) {
    return `dm:${[this.me, user].sort(byBytes).join(":")}`;
  }

  #listen() {
    const on = (type, act) => this.parlour.addEventListener(type, ({ detail }) => act(detail));
    on("joined", (topic) => this.#joined(topic).catch(() => {}));
    on("message", (message) => this.#said(message));
    for (const kind of ["edit", "removal"]) on(kind, (change) => this.#edited(change));
    on("presence", () => this.#changed());
    on("left", ({ topic, reason }) => this.#left(topic, reason));
    on("activity", ({ topic }) => this.#active(topic));
  }

  async #joined(topic) {
    const conversation = await this.#known(topic);
    conversation.refusal = null;
    this.#opened(topic.id);
  }

  /** Something is new in a direct message that is not joined: it is now. */
  async #active(topic) {
    try {
      await this.loadInbox();
      await this.join(topic);
    } catch {
      // It stays as the inbox has it.
    }
  }

  #listed({ topic, type, name, user, last_message, last_seq, read_seq }) {
    const known = this.conversations.get(topic);
    const title = name ?? user?.username ?? known?.title ?? topic;
    const last = last_message ?? known?.last ?? null;
    // A mark of this page may still be on its way.
    const read = Math.max(read_seq, known?.read ?? 0);
    const unread = Math.max(0, last_seq - read);
    this.conversations.set(topic, { refusal: null, ...known, id: topic, type, title, user, last, read, unread });
  }

  /** The conversation of a joined topic. */
  async #known(topic) {
    const known = this.conversations.get(topic.id);
    if (known) return known;
    const conversation = {
      id: topic.id,
      type: topic.type,
      title: topic.name ?? topic.id,
      user: null,
      unread: 0,
      read: 0,
      last: null,
      refusal: null,
    };
    this.conversations.set(topic.id, conversation);
    if (topic.type === "room") this.#knownRoom(conversation, topic);
    if (topic.type === "dm") await this.#knownDm(conversation);
    if (topic.type === "group") await this.#knownGroup(conversation);
    this.#changed();
    return conversation;
  }

  #knownRoom(conversation, topic) {
    // What was said before the first visit is not unread.
    conversation.read = this.#rooms()[topic.name] ?? topic.position;
    conversation.unread = Math.max(0, topic.position - conversation.read);
    this.#keepRoom(conversation);
    const newest = topic.history({ limit: 1 });
    newest.then(
      ({ messages }) => this.#newest(conversation, messages[0]),
      () => {},
    );
  }

  async #knownDm(conversation) {
    const other = conversation.id
      .split(":")
      .slice(1)
      .find((user) => user !== this.me);
    conversation.user = await this.parlour
      .call("GET", `/v1/users/${encodeURIComponent(other)}`)
      .catch(() => ({ user_id: other, username: other }));
    conversation.title = conversation.user.username;
  }

  async #knownGroup(conversation) {
    await this.loadGroup(conversation.id).catch(() => {});
    await this.loadInbox().catch(() => {});
  }

  #newest(conversation, message) {
    if (message && !(conversation.last?.seq >= message.seq)) conversation.last = message;
    this.#changed();
  }

  #said(message) {
    // Roles and members may be others now.
    if (message.code !== 0 && !isEnd(message, this.me)) this.loadGroup(message.topic).catch(() => {});
    const conversation = this.conversations.get(message.topic);
    if (!conversation) return;
    conversation.last = message;
    const mine = message.sender.user_id === this.me && message.code === 0;
    if (mine) [conversation.unread, conversation.read] = [0, message.seq];
    else if (message.seq > conversation.read) conversation.unread += 1;
    if (mine && conversation.type === "room") this.#keepRoom(conversation);
    this.#changed();
  }

  #edited({ topic, content, code, seq }) {
    const conversation = this.conversations.get(topic);
    if (!conversation) return;
    if (conversation.unread === 0) conversation.read = Math.max(conversation.read, seq);
    if (conversation.type === "room") this.#keepRoom(conversation);
    if (conversation.last?.id !== content.message_id) return;
    const change = code === 6 ? { content: content.content } : { content: null, removed_at: "removed" };
    conversation.last = { ...conversation.last, ...change };
    this.#changed();
  }

  #left({ id, type }, reason) {
    const conversation = this.conversations.get(id);
    // A direct message stays to be read; a group is gone with its history.
    if (conversation && type === "dm" && reason === "blocked") conversation.refusal = { code: "blocked" };
    else if (id !== this.active) this.#forget(id);
    this.#opened(id, reason);
    this.#changed();
  }

  forget(id) {
    this.#forget(id);
  }

  #forget(id) {
    const conversation = this.conversations.get(id);
    if (conversation?.type === "room") {
      const rooms = this.#rooms();
      delete rooms[conversation.title];
      this.#keepRooms(rooms);
    }
    this.conversations.delete(id);
    this.#changed();
  }

  /** Marks as read, on all devices; several marks in a row are one. */
  #mark(id) {
    if (this.#marks.has(id)) return;
    const mark = () => {
      this.#marks.delete(id);
      const conversation = this.conversations.get(id);
      if (conversation && this.parlour.topics.has(id)) this.parlour.markRead(id, conversation.read).catch(() => {});
    };
    this.#marks.set(id, setTimeout(mark, MARK));
  }

  // Rooms are nobody's: which ones the user is in, and how far they have read, is kept in this browser.

  #rooms() {
    try {
      return JSON.parse(localStorage.getItem(`parlour rooms ${this.me}`)) ?? {};
    } catch {
      return {};
    }
  }

  #keepRoom({ title, read }) {
    this.#keepRooms({ ...this.#rooms(), [title]: read });
  }

  #keepRooms(rooms) {
    try {
      localStorage.setItem(`parlour rooms ${this.me}`, JSON.stringify(rooms));
    } catch {
      // Then they are forgotten with the tab.
    }
  }

  #opened(id, reason = null) {
    this.dispatchEvent(new CustomEvent("open", { detail: { id, reason } }));
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}

/** The order of users in the name of a direct message. They are ASCII. */
const byBytes = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** The line below a title in the list. */
export function lastLine({ last }, me) {
  if (!last) return "";
  const text = preview(last, me);
  if (last.code !== 0 || last.removed_at) return text;
  return `${last.sender.user_id === me ? "You" : last.sender.username}: ${text}`;
}
