/**
 * The types of `parlour.js`, the client module of Parlour.
 *
 * ```js
 * import { Parlour } from "https://chat.example/parlour.js";
 *
 * const parlour = new Parlour({ url: "https://chat.example", username: "Ana" });
 * await parlour.open();
 * const lobby = await parlour.join("room:lobby");
 * lobby.addEventListener("message", ({ detail }) => console.log(detail.sender.username, detail.content));
 * await lobby.send({ text: "hello" });
 * ```
 *
 * Each topic's messages arrive in the order of their `seq`, each once, also after lost connections, restarts of the
 * service, reloads, frozen tabs and expired sessions.
 *
 * Methods that return a promise reject with a `ParlourError` if the call fails. Times are RFC 3339 in UTC, with
 * milliseconds.
 */

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface User {
  /** The id of the user: 1 to 128 of `A-Z a-z 0-9 . _ @ | ~ + = -`. The ids of built-in accounts begin with `~`. */
  user_id: string;
  /** The name that is shown. Several users may have the same one. */
  username: string;
}

export interface Session {
  /** A UUID. */
  id: string;
  user: User;
  created_at: string;
  /** The time at which the session expires unless it is refreshed. The client refreshes it in time. */
  expires_at: string;
}

/** One session that is visible on a topic. A user with two sessions there has two presences. */
export interface Presence extends User {
  session_id: string;
  /** The time since which the session is online. */
  online_since: string;
}

/**
 * The kind of an entry: 0 a message, 1 a member joined, 2 was added, 3 left, 4 was removed, 5 was promoted, 6 an edit,
 * 7 a removal, 8 a member was banned, 9 was demoted.
 */
export type Code = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

/** An entry of a topic's log. */
export interface Message<Content = Json> {
  /** A UUID. */
  id: string;
  /** The id of the topic. */
  topic: string;
  /** The number of the entry in its topic: 1, 2, 3 … without holes. */
  seq: number;
  code: Code;
  /** The user who sent it, or whom an event of a group concerns, with the name of that time. */
  sender: User;
  /** The content as it was sent, or as it was edited last; `null` after a removal. */
  content: Content;
  created_at: string;
  /** The time of the last edit, if there was one. */
  edited_at?: string;
  /** The time of the removal, if the message was removed. */
  removed_at?: string;
}

/** A message that is delivered to the current listeners of a topic and never stored. It has no `id` and no `seq`. */
export interface Ephemeral {
  /** The id of the topic. */
  topic: string;
  code: 0;
  sender: User;
  content: Json;
  created_at: string;
}

/** The content of an event of a group (codes 1 to 5, 8 and 9). */
export interface GroupEvent {
  /** The member whom the event concerns. */
  user: User;
  /** The user who caused it. */
  by: User;
  /** The new role, after a promotion or demotion. */
  role?: "superadmin" | "admin" | "member";
}

/** The content of an edit (code 6). */
export interface Edit {
  /** The id of the edited message. */
  message_id: string;
  /** The `seq` of the edited message. */
  seq: number;
  /** The new content of the message. */
  content: Json;
}

/** The content of a removal (code 7). */
export interface Removal {
  /** The id of the removed message. */
  message_id: string;
  /** The `seq` of the removed message. */
  seq: number;
}

/** A page of history. */
export interface Page {
  /** In the direction of the query. */
  messages: Message[];
  /**
   * The `cursor` of the next page; `null` at the end of history. Forward it is never `null`, so that it can be polled.
   */
  next_cursor: string | null;
  /** The `cursor` of the previous page of the same direction, or `null` if there is none. */
  prev_cursor: string | null;
}

/** A query of history. At most one of `cursor`, `at_seq` and `at_time` may be given. */
export interface HistoryQuery {
  /** `backward` (the default) is newest first, `forward` is oldest first. */
  direction?: "backward" | "forward";
  /** The most messages of the page: 1 to 100; default 50. */
  limit?: number;
  /** A cursor of an earlier page. */
  cursor?: string;
  /** Starts with the entry of this `seq`. */
  at_seq?: number;
  /** Starts at this time (RFC 3339). */
  at_time?: string;
  /** True to list edits and removals as entries of their own. Default: false. */
  changes?: boolean;
}

/** An entry of the inbox. */
export interface InboxTopic {
  /** The id of the topic. */
  topic: string;
  type: "group" | "dm";
  /** The name of a group. */
  name?: string;
  /** The other user of a direct message. */
  user?: User;
  /** The `seq` of the last entry; 0 if there is none. */
  last_seq: number;
  last_message: Message | null;
  /** The user's read mark: the `seq` of the last entry that the user has read. */
  read_seq: number;
  /** The number of entries after the read mark. */
  unread: number;
}

/** The reason why a call failed. */
export class ParlourError extends Error {
  /** The HTTP status; 0 if no response came. */
  readonly status: number;
  /**
   * A stable identifier: the `code` of the service's problem document, or `network` if the service cannot be reached,
   * `timeout` if it did not respond in 20 seconds, `ended` if the session has ended or is not open, or `http` if
   * something other than the service has responded.
   */
  readonly code: string;
  /** The seconds after which to retry, if the service names them (`Retry-After`). */
  readonly retryAfter?: number;
  /** True if the same call may succeed later: without a response, and for 408, 429 and 5xx. */
  readonly retryable: boolean;
}

export interface Options {
  /** The address of the service. Default: the origin of the page. */
  url?: string;
  /**
   * The password of a built-in account, 16 to 128 characters. By default one is made at the first use and kept in
   * `localStorage`.
   */
  deviceId?: string;
  /** The name of a new built-in account. */
  username?: string;
  /**
   * Returns a fresh token of your own login (a JWT). It is called each time that one is needed, and replaces the
   * built-in account.
   */
  userToken?: () => string | Promise<string>;
  /** Separates the stored data of several accounts on one page. Default: the address of the service. */
  name?: string;
  /**
   * True if all tabs of the browser share one session and its stream. Without Web Locks and BroadcastChannel each tab
   * has its own. Default: true.
   */
  share?: boolean;
  /** The number of missed entries of a topic that are read from history; earlier ones are a `gap`. Default: 1,000. */
  fill?: number;
}

/**
 * - `connecting`: the stream is being opened.
 * - `live`: events arrive as they happen.
 * - `waiting`: the service cannot be reached. The client retries with a growing delay, and at once when the network is
 *   back.
 * - `ended`: no more events until `open` is called again; `reason` gives the reason.
 */
export type State = "connecting" | "live" | "waiting" | "ended";

/**
 * - `closed`: `close` was called.
 * - `signed_out`: the session has ended, here or elsewhere.
 * - `replaced`: another client has opened the stream of the same session.
 * - `refused`: the service refuses the account.
 */
export type EndReason = "closed" | "signed_out" | "replaced" | "refused";

/**
 * - `left`: the session has left the topic.
 * - `kicked`, `banned`: an admin has removed or banned the user from the group.
 * - `blocked`: one of the two users of the direct message has blocked the other.
 * - `group_deleted`: the group no longer exists.
 * - `gone`: the topic was left while this tab received no events, or it cannot be joined any more.
 */
export type LeftReason = "left" | "kicked" | "banned" | "blocked" | "group_deleted" | "gone";

/** A change of the presences. `topic.presences` already contains it. */
export interface PresenceEvent {
  topic: Topic;
  /** The sessions that have been added. */
  joins: Presence[];
  /** The sessions that have been removed. */
  leaves: Presence[];
}

/** Entries that were not delivered: `from_seq` to `to_seq`, both included. */
export interface GapEvent {
  topic: Topic;
  from_seq: number;
  to_seq: number;
  /** True if the entries no longer exist; otherwise history has them. */
  pruned: boolean;
}

/** The events of a topic. `detail` has the type that is given here. */
export interface TopicEvents {
  /** A message or an event of a group. In the order of `seq`, each once. */
  message: CustomEvent<Message>;
  /** An edit (code 6), in the same order. */
  edit: CustomEvent<Message<Edit>>;
  /** A removal (code 7), in the same order. */
  removal: CustomEvent<Message<Removal>>;
  /** A message that is not stored. */
  ephemeral: CustomEvent<Ephemeral>;
  /** More entries were missed than `fill`, or they were pruned. The entries after the gap follow. */
  gap: CustomEvent<GapEvent>;
  /** The presences have changed. */
  presence: CustomEvent<PresenceEvent>;
  /** A user is typing. No event marks the end: remove the indication after a few seconds. */
  typing: CustomEvent<User & { topic: string }>;
  /** The topic has been left: no more events of it follow. */
  left: CustomEvent<{ topic: Topic; reason: LeftReason }>;
}

/** The events of the client: those of every topic, and its own. */
export interface ParlourEvents extends TopicEvents {
  /** The state has changed. */
  state: CustomEvent<{ state: State; reason: EndReason | null }>;
  /** A topic has been joined, in this tab or another. */
  joined: CustomEvent<Topic>;
  /** A direct message that is not joined has a new entry: `last_seq`. */
  activity: CustomEvent<{ topic: string; last_seq: number }>;
}

interface TypedTarget<Events> extends Omit<EventTarget, "addEventListener" | "removeEventListener"> {
  addEventListener<K extends keyof Events & string>(
    type: K,
    listener: (event: Events[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof Events & string>(
    type: K,
    listener: (event: Events[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}
declare const TypedTarget: { new <Events>(): TypedTarget<Events> };

export interface SendOptions {
  /** True to deliver the message to the current listeners only and not to store it. Such a send is never retried. */
  ephemeral?: boolean;
  /**
   * The idempotency key. By default a new one is made. A send with the key of an earlier one returns the stored message
   * of that one.
   */
  key?: string;
  /** The time for which the send is retried while the service cannot be reached, in milliseconds. Default: 30,000. */
  retryTimeout?: number;
}

/**
 * A client. With `share` it is one tab's view of the session that all tabs of the browser have; otherwise it has its
 * own.
 */
export class Parlour extends TypedTarget<ParlourEvents> {
  constructor(options?: Options);
  readonly state: State;
  /** The reason of the state `ended`; otherwise `null`. */
  readonly reason: EndReason | null;
  /** The session, or `null` if there is none. */
  readonly session: Session | null;
  /** The user of the session, or `null` if there is none. */
  readonly user: User | null;
  /** The topics that the session has joined, by id. */
  readonly topics: ReadonlyMap<string, Topic>;
  /**
   * Opens a session, or continues the stored one of this browser, and opens the stream. Retries until the service
   * responds. Returns the session. Rejects if the service refuses the account, or if `close` is called first.
   */
  open(): Promise<Session>;
  /**
   * Joins a topic: `room:NAME`, `group:ID` or `dm:USER`. Joining again changes nothing. `hidden` joins without a
   * presence. Rejects with 403 or 404 if the user may not join it.
   */
  join(topic: string, options?: { hidden?: boolean }): Promise<Topic>;
  /** Leaves a topic, in all tabs that share the session. */
  leave(topic: string): Promise<void>;
  /**
   * Sends to a joined topic. Sends to one topic are stored in the order of the calls. Returns the message as stored, or
   * as delivered if it is ephemeral. Rejects with 409 `not_joined` if the topic is not joined.
   */
  send(topic: string, content: Json, options?: SendOptions): Promise<Message | Ephemeral>;
  /** Reads a page of history. The topic need not be joined. */
  history(topic: string, query?: HistoryQuery): Promise<Page>;
  /** Replaces the content of an own message. Returns the message with its new content. */
  edit(topic: string, messageId: string, content: Json): Promise<Message>;
  /** Removes an own message, or any message of a group that the user is an admin of. */
  remove(topic: string, messageId: string): Promise<void>;
  /**
   * Moves the user's read mark forward to `seq`, for all sessions of the user. Returns the mark and the number of entries
   * after it.
   */
  markRead(topic: string, seq: number): Promise<{ read_seq: number; unread: number }>;
  /** Reports that the user is typing. At most one call in two seconds is sent for a topic; the others do nothing. */
  typing(topic: string): Promise<void>;
  /** Reads a page of the user's groups and direct messages, newest first. */
  inbox(query?: { limit?: number; cursor?: string }): Promise<{ topics: InboxTopic[]; next_cursor: string | null }>;
  /** Changes the user's name. Returns the user with the new name. */
  rename(username: string): Promise<User>;
  /**
   * Makes any call of the API: `call("POST", "/v1/groups", { name: "Gardeners" })`. Returns the JSON of the response.
   */
  call<Answer = any>(method: string, path: string, body?: unknown, options?: { signal?: AbortSignal }): Promise<Answer>;
  /** Closes the client in this tab. The session stays and can be continued with `open`. */
  close(): void;
  /**
   * Ends the session, in all tabs. With `forget`, the device id of a built-in account that was made here is removed as
   * well: the account cannot be used again.
   */
  signOut(options?: { forget?: boolean }): Promise<void>;
}

/** A joined topic. `Parlour.join` returns it. Its methods are those of `Parlour` for this topic. */
export class Topic extends TypedTarget<TopicEvents> {
  private constructor();
  /** The id as the service returns it. A direct message is `dm:A:B`. */
  readonly id: string;
  readonly parlour: Parlour;
  readonly type: "room" | "group" | "dm";
  /** The name of a room or a group; `null` for a direct message, or if it is unknown. */
  readonly name: string | null;
  /** The `seq` of the last entry that was dispatched. */
  readonly position: number;
  /** The current presences by session id. */
  readonly presences: ReadonlyMap<string, Presence>;
  /** The number of sessions on the topic; more than `presences` holds if `truncated` is true. */
  readonly presenceCount: number;
  /** True if `presences` holds only some of the sessions, because there are too many. */
  readonly truncated: boolean;
  send(content: Json, options?: SendOptions): Promise<Message | Ephemeral>;
  history(query?: HistoryQuery): Promise<Page>;
  edit(messageId: string, content: Json): Promise<Message>;
  remove(messageId: string): Promise<void>;
  /** As `Parlour.markRead`. Default of `seq`: `position`. */
  markRead(seq?: number): Promise<{ read_seq: number; unread: number }>;
  typing(): Promise<void>;
  leave(): Promise<void>;
  /** Returns a new window onto the messages, for showing them. */
  timeline(options?: TimelineOptions): Timeline;
}

/** A message of the user that is being sent, or that could not be sent. */
export interface Pending {
  /** Its idempotency key. */
  key: string;
  content: Json;
  sender: User;
  created_at: string;
  /** `sent` means that the message is stored, and that the stream has not brought it yet. */
  state: "sending" | "sent" | "failed";
  /** The error of the state `failed`; otherwise `null`. */
  error: ParlourError | null;
}

export interface TimelineOptions {
  /** The number of messages of a page. Default: 50. */
  page?: number;
  /**
   * The most messages that are kept, at least two pages; those farthest from the page that was read last are dropped.
   * Default: 300.
   */
  keep?: number;
}

/**
 * A window onto a topic's messages: history in both directions and new messages as they arrive. Edits and removals are
 * applied to their messages, and each message is listed once, in order. Dispatches `change` after each change.
 */
export class Timeline extends TypedTarget<{ change: CustomEvent<null> }> {
  constructor(topic: Topic, options?: TimelineOptions);
  readonly topic: Topic;
  /** Oldest first, without the entries of edits and removals. */
  readonly messages: readonly Message[];
  /** The user's own messages that are being sent or have failed, in order. Show them after `messages`. */
  readonly pending: readonly Pending[];
  /** The gaps of pruned entries: they no longer exist. */
  readonly gaps: readonly GapEvent[];
  /** True if `messages` begins with the oldest message of the topic. */
  readonly atStart: boolean;
  /** True if `messages` ends with the newest message of the topic; new messages are then added. */
  readonly atEnd: boolean;
  /** The number of messages that have arrived after the end of `messages`, while `atEnd` is false. */
  readonly newerCount: number;
  /** Reads the first page: the newest messages, or those around a `seq` or a time. Calling it again starts anew. */
  open(at?: { seq: number } | { time: string }): Promise<void>;
  /** Reads the page before `messages`. Does nothing if `atStart` is true, or while a page is being read. */
  older(): Promise<void>;
  /** Reads the page after `messages`. Does nothing if `atEnd` is true, or while a page is being read. */
  newer(): Promise<void>;
  /** Adds the message to `pending` and sends it. Resolves when it is stored or has failed, and never rejects. */
  send(content: Json): Promise<void>;
  /** Sends a failed message again, with the same key. */
  retry(key: string): Promise<void>;
  /** Removes a failed message from `pending`. If it was stored all the same, it stays stored. */
  discard(key: string): void;
  /** Stops following the topic. */
  close(): void;
}
