/**
 * The state of the page: all conversations (rooms, groups and direct messages) with the number of unread entries in
 * each, and the users whom the page's user blocks. Dispatches `change` after each change of it, and `topic` with `{ id,
 * reason }` when a topic has been joined (`reason` is null) or left.
 */

import { SavedRooms } from "./saved-rooms.js";
import { endsAccess } from "./text.js";

/** The most topics that the page joins without being opened. A session may join 200. */
const MAX_AUTOMATIC_JOINS = 120;
/** The number of concurrent joins. */
const CONCURRENT_JOINS = 4;
/** The most pages of the inbox that are read at the start. */
const INBOX_PAGES = 5;
/**
 * The interval at which the inbox is read while the page is visible, in milliseconds: no event reports that the user
 * was added to a group.
 */
const INBOX_INTERVAL = 20_000;
/** The delay of a read mark, in milliseconds: several marks in this time are sent as one. */
const READ_MARK_DELAY = 400;

/** The conversation of a topic that has no entry in the inbox. `user` is the other user of a direct message. */
const newConversation = ({ id, type, name }) => ({
  id,
  type,
  title: name ?? id,
  user: null,
  /** The number of entries after the read mark. */
  unread: 0,
  /** The read mark: the `seq` of the last entry that the user has read. */
  read: 0,
  /** The last message, or null. */
  last: null,
  /** The error for which the topic could not be joined, or null. */
  refusal: null,
});

export class Store extends EventTarget {
  /** The timers of the read marks that wait to be sent, by topic. */
  #readMarkTimers = new Map();
  #inboxTimer = null;
  #savedRooms;

  constructor(parlour) {
    super();
    this.parlour = parlour;
    /** The id of the page's user. It stays when the session has ended. */
    this.me = parlour.user.user_id;
    this.#savedRooms = new SavedRooms(this.me);
    /** By topic id, as `newConversation` returns them. */
    this.conversations = new Map();
    /** The blocked users, by id. */
    this.blocked = new Map();
    /** The user's groups with the user's role, by topic id. */
    this.groups = new Map();
    /** The id of the topic whose conversation is open, or null. */
    this.active = null;
    this.#listen();
  }

  get unread() {
    return [...this.conversations.values()].reduce((sum, { unread }) => sum + unread, 0);
  }

  /** Reads the inbox and the blocks, and joins the user's topics. Returns true if there are any. */
  async load() {
    await Promise.all([this.loadInbox(INBOX_PAGES), this.loadBlocks()]);
    const rooms = this.#savedRooms.names().map((name) => `room:${name}`);
    const topics = [...rooms, ...this.#inboxTopics()];
    this.#inboxTimer = setInterval(() => this.#joinNewTopics().catch(() => {}), INBOX_INTERVAL);
    this.#joinAll(topics);
    return topics.length > 0;
  }

  close() {
    clearInterval(this.#inboxTimer);
  }

  async #joinNewTopics() {
    if (document.visibilityState === "hidden" || this.parlour.state !== "live") return;
    const known = new Set(this.conversations.keys());
    await this.loadInbox();
    this.#joinAll(this.#inboxTopics().filter((id) => !known.has(id)));
  }

  #inboxTopics() {
    return [...this.conversations.values()].filter(({ type }) => type !== "room").map(({ id }) => id);
  }

  /** Joins topics, a few at a time: one after another takes too long, and all at once exceed the rate limit. */
  #joinAll(topics) {
    const joined = this.parlour.topics;
    const waiting = topics.filter((id) => !joined.has(id)).slice(0, MAX_AUTOMATIC_JOINS - joined.size);
    const worker = async () => {
      for (let id = waiting.shift(); id; id = waiting.shift()) {
        const conversation = this.conversations.get(id);
        if (this.blocked.has(conversation?.user?.user_id)) conversation.refusal = { code: "blocked" };
        else await this.join(id).catch(() => {});
      }
    };
    for (let count = 0; count < CONCURRENT_JOINS; count += 1) worker();
  }

  /** Reads pages of the inbox, newest first. */
  async loadInbox(pages = 1) {
    let cursor;
    for (let page = 0; page < pages; page += 1) {
      const { topics, next_cursor } = await this.parlour.inbox({ limit: 100, cursor });
      topics.forEach((entry) => this.#updateFromInbox(entry));
      if (!next_cursor) break;
      cursor = next_cursor;
    }
    this.#emitChange();
  }

  async loadBlocks() {
    this.blocked.clear();
    let cursor = null;
    do {
      const path = `/v1/me/blocks?limit=100${cursor ? `&cursor=${cursor}` : ""}`;
      const { blocks, next_cursor } = await this.parlour.call("GET", path);
      blocks.forEach(({ user }) => this.blocked.set(user.user_id, user));
      cursor = next_cursor;
    } while (cursor);
    this.#emitChange();
  }

  /**
   * Joins a topic and returns its conversation. If it is refused, keeps the error with the conversation, and throws it.
   */
  async join(id) {
    try {
      const topic = await this.parlour.join(id);
      const conversation = await this.#conversationOf(topic);
      this.#emitChange();
      return conversation;
    } catch (error) {
      const conversation = this.find(id);
      if (conversation && !error.retryable) conversation.refusal = error;
      this.#emitChange();
      throw error;
    }
  }

  /** Returns the conversation of a topic id. A direct message may be given as `dm:USER`. */
  find(id) {
    const isShort = id.startsWith("dm:") && id.split(":").length === 2;
    return this.conversations.get(isShort ? this.dmWith(id.slice("dm:".length)) : id);
  }

  async leave(id) {
    await this.parlour.leave(id);
    this.forget(id);
  }

  async setBlocked(user, blocked) {
    await this.parlour.call(blocked ? "PUT" : "DELETE", `/v1/me/blocks/${encodeURIComponent(user.user_id)}`);
    if (blocked) this.blocked.set(user.user_id, user);
    else this.blocked.delete(user.user_id);
    this.#emitChange();
    const dm = this.conversations.get(this.dmWith(user.user_id));
    if (dm && !blocked) await this.join(dm.id).catch(() => {});
  }

  /** Moves the read mark of a conversation to its end. */
  markRead(id) {
    const conversation = this.conversations.get(id);
    const topic = this.parlour.topics.get(id);
    if (!conversation || !topic || conversation.read >= topic.position) return;
    conversation.unread = 0;
    conversation.read = topic.position;
    if (conversation.type === "room") this.#saveRoom(conversation);
    else this.#sendReadMark(id);
    this.#emitChange();
  }

  /** True if the user is an admin of this group. */
  isAdmin(id) {
    return ["admin", "superadmin"].includes(this.groups.get(id)?.role);
  }

  /** Reads a group and returns it. */
  async loadGroup(id) {
    const group = await this.parlour.call("GET", `/v1/groups/${id.slice("group:".length)}`);
    this.groups.set(id, group);
    const conversation = this.conversations.get(id);
    if (conversation) conversation.title = group.name;
    this.#emitChange();
    return group;
  }

  /** Returns the topic id of the direct message with a user. */
  dmWith(userId) {
    // User ids are ASCII, so that the default order of `sort` is the order by bytes.
    return `dm:${[this.me, userId].sort().join(":")}`;
  }

  /** Removes a conversation. */
  forget(id) {
    const conversation = this.conversations.get(id);
    if (conversation?.type === "room") this.#savedRooms.remove(conversation.title);
    this.conversations.delete(id);
    this.#emitChange();
  }

  // Events of the client

  #listen() {
    const on = (type, handle) => this.parlour.addEventListener(type, ({ detail }) => handle(detail));
    on("joined", (topic) => this.#handleJoined(topic).catch(() => {}));
    on("message", (message) => this.#handleMessage(message));
    on("edit", (edit) => this.#handleChange(edit, { content: edit.content.content }));
    on("removal", (removal) => this.#handleChange(removal, { content: null, removed_at: removal.created_at }));
    on("presence", () => this.#emitChange());
    on("left", ({ topic, reason }) => this.#handleLeft(topic, reason));
    on("activity", ({ topic }) => this.#handleActivity(topic));
  }

  async #handleJoined(topic) {
    const conversation = await this.#conversationOf(topic);
    conversation.refusal = null;
    this.#emitTopic(topic.id);
  }

  /** A direct message that is not joined has a new entry: joins it. */
  async #handleActivity(topic) {
    try {
      await this.loadInbox();
      await this.join(topic);
    } catch {
      // The conversation stays as the inbox lists it.
    }
  }

  #handleMessage(message) {
    // An event of a group may have changed roles and the number of members.
    if (message.code !== 0 && !endsAccess(message, this.me)) this.loadGroup(message.topic).catch(() => {});
    const conversation = this.conversations.get(message.topic);
    if (!conversation) return;
    conversation.last = message;
    const isMine = message.sender.user_id === this.me && message.code === 0;
    if (isMine) {
      conversation.unread = 0;
      conversation.read = message.seq;
      if (conversation.type === "room") this.#saveRoom(conversation);
    } else if (message.seq > conversation.read) {
      conversation.unread += 1;
    }
    this.#emitChange();
  }

  /** Handles an edit or a removal, which is an entry of its own and changes an earlier message. */
  #handleChange({ topic, content, seq }, changes) {
    const conversation = this.conversations.get(topic);
    if (!conversation) return;
    if (conversation.unread === 0) conversation.read = Math.max(conversation.read, seq);
    if (conversation.type === "room") this.#saveRoom(conversation);
    if (conversation.last?.id !== content.message_id) return;
    conversation.last = { ...conversation.last, ...changes };
    this.#emitChange();
  }

  #handleLeft({ id, type }, reason) {
    const conversation = this.conversations.get(id);
    // The history of a direct message can still be read; that of a group cannot.
    if (conversation && type === "dm" && reason === "blocked") conversation.refusal = { code: "blocked" };
    else if (id !== this.active) this.forget(id);
    this.#emitTopic(id, reason);
    this.#emitChange();
  }

  // Conversations

  #updateFromInbox({ topic, type, name, user, last_message, last_seq, read_seq }) {
    const known = this.conversations.get(topic);
    const title = name ?? user?.username ?? known?.title ?? topic;
    const last = last_message ?? known?.last ?? null;
    // The page's own read mark may not have reached the service yet.
    const read = Math.max(read_seq, known?.read ?? 0);
    const unread = Math.max(0, last_seq - read);
    this.conversations.set(topic, { refusal: null, ...known, id: topic, type, title, user, last, read, unread });
  }

  /** Returns the conversation of a joined topic. Adds it if it is new. */
  async #conversationOf(topic) {
    const known = this.conversations.get(topic.id);
    if (known) return known;
    const conversation = newConversation(topic);
    this.conversations.set(topic.id, conversation);
    if (topic.type === "room") this.#addRoom(conversation, topic);
    if (topic.type === "dm") await this.#addDm(conversation);
    if (topic.type === "group") await this.#addGroup(conversation);
    this.#emitChange();
    return conversation;
  }

  #addRoom(conversation, topic) {
    // Messages before the first visit do not count as unread.
    conversation.read = this.#savedRooms.readMark(topic.name) ?? topic.position;
    conversation.unread = Math.max(0, topic.position - conversation.read);
    this.#saveRoom(conversation);
    this.#loadLast(conversation, topic).catch(() => {});
  }

  async #loadLast(conversation, topic) {
    const { messages } = await topic.history({ limit: 1 });
    const [newest] = messages;
    const isNewer = newest && !(conversation.last?.seq >= newest.seq);
    if (isNewer) conversation.last = newest;
    this.#emitChange();
  }

  async #addDm(conversation) {
    const [, ...users] = conversation.id.split(":");
    const other = users.find((user) => user !== this.me);
    conversation.user = await this.parlour
      .call("GET", `/v1/users/${encodeURIComponent(other)}`)
      .catch(() => ({ user_id: other, username: other }));
    conversation.title = conversation.user.username;
  }

  async #addGroup(conversation) {
    await this.loadGroup(conversation.id).catch(() => {});
    await this.loadInbox().catch(() => {});
  }

  #saveRoom({ title, read }) {
    this.#savedRooms.save(title, read);
  }

  /** Sends the read mark after a delay, for all sessions of the user. */
  #sendReadMark(id) {
    if (this.#readMarkTimers.has(id)) return;
    const send = () => {
      this.#readMarkTimers.delete(id);
      const conversation = this.conversations.get(id);
      if (conversation && this.parlour.topics.has(id)) this.parlour.markRead(id, conversation.read).catch(() => {});
    };
    this.#readMarkTimers.set(id, setTimeout(send, READ_MARK_DELAY));
  }

  #emitTopic(id, reason = null) {
    this.dispatchEvent(new CustomEvent("topic", { detail: { id, reason } }));
  }

  #emitChange() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
