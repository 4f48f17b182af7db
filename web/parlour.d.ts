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
 * Each topic's messages arrive in the order of their `seq`, and none twice: over lost connections, restarts of the
 * service, reloads, sleeping tabs and expired sessions.
 */

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface User {
  user_id: string;
  username: string;
}

export interface Session {
  id: string;
  user: User;
  created_at: string;
  expires_at: string;
}

/** One session of a user that is on a topic. */
export interface Presence extends User {
  session_id: string;
  online_since: string;
}

/**
 * What kind of entry a message is: 0 chat, 1 a member joined, 2 was added, 3 left, 4 was removed, 5 was promoted, 6 an
 * edit, 7 a removal, 8 was banned, 9 was demoted.
 */
export type Code = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

/** An entry of a topic. */
export interface Message<Content = Json> {
  id: string;
  topic: string;
  /** 1, 2, 3 … in each topic, without holes. */
  seq: number;
  code: Code;
  sender: User;
  /** What was sent; of a removed message `null`. */
  content: Content;
  created_at: string;
  edited_at?: string;
  removed_at?: string;
}

/** What is told only to those who listen now, and stored nowhere. */
export interface Ephemeral {
  topic: string;
  code: 0;
  sender: User;
  content: Json;
  created_at: string;
}

/** The content of an event of a group (codes 1 to 5, 8 and 9). */
export interface GroupEvent {
  user: User;
  by: User;
  role?: "superadmin" | "admin" | "member";
}

/** The content of an edit (code 6). */
export interface Edit {
  message_id: string;
  seq: number;
  content: Json;
}

/** The content of a removal (code 7). */
export interface Removal {
  message_id: string;
  seq: number;
}

/** A page of history. */
export interface Page {
  messages: Message[];
  next_cursor: string | null;
  prev_cursor: string | null;
}

export interface HistoryQuery {
  /** `backward` (the default) is newest first. */
  direction?: "backward" | "forward";
  /** 1 to 100; default 50. */
  limit?: number;
  cursor?: string;
  at_seq?: number;
  /** RFC 3339. */
  at_time?: string;
  /** Whether edits and removals are listed as entries of their own. */
  changes?: boolean;
}

/** An entry of the inbox. */
export interface InboxTopic {
  topic: string;
  type: "group" | "dm";
  name?: string;
  user?: User;
  last_seq: number;
  last_message: Message | null;
  read_seq: number;
  unread: number;
}

/** Why a call was refused, or could not be made. */
export class ParlourError extends Error {
  /** The HTTP status; 0 where the service could not be reached. */
  readonly status: number;
  /** A stable word: a problem's `code`, or `network`, `timeout`, `ended`, or `http` where something else has answered. */
  readonly code: string;
  /** In how many seconds to try again, where the service says so. */
  readonly retryAfter?: number;
  /** Whether the same call may do better later. */
  readonly passing: boolean;
}

export interface Options {
  /** Where the service is; default: where the page is. */
  url?: string;
  /**
   * The password of a built-in account, 16 to 128 characters. By default one is made at first use and kept in
   * `localStorage`.
   */
  deviceId?: string;
  /** How a new built-in account is called. */
  username?: string;
  /** Instead of a device id: gets a fresh token of your own login, each time that one is needed. */
  userToken?: () => string | Promise<string>;
  /** Keeps what is stored in the browser apart where one page has several accounts. Default: the service's address. */
  name?: string;
  /** Whether all tabs of the browser share one session and its stream, where the browser can do that. Default: true. */
  share?: boolean;
  /** How many missed messages of a topic are read from history by itself; more are a `gap`. Default: 1,000. */
  fill?: number;
}

/**
 * - `connecting`: the stream is being opened.
 * - `live`: what happens arrives at once.
 * - `waiting`: the service cannot be reached; it is tried again and again, and at once when the network is back.
 * - `ended`: nothing more comes until `open` is called again; `reason` says why.
 */
export type State = "connecting" | "live" | "waiting" | "ended";

/** Why it ended: `closed` here, signed out, listening elsewhere, or the service refuses the account. */
export type EndReason = "closed" | "signed_out" | "replaced" | "refused";

export type LeftReason = "left" | "kicked" | "banned" | "blocked" | "group_deleted" | "gone";

export interface PresenceEvent {
  topic: Topic;
  /** Sessions that came and went, already in `topic.presences`. */
  joins: Presence[];
  leaves: Presence[];
}

export interface GapEvent {
  topic: Topic;
  from_seq: number;
  to_seq: number;
  /** Whether it is gone for good; otherwise history has it. */
  pruned: boolean;
}

/** Events of a topic. `detail` holds what the type says. */
export interface TopicEvents {
  /** A message or an event of a group, in order of `seq`, each once. */
  message: CustomEvent<Message>;
  /** An edit (code 6), in the same order. */
  edit: CustomEvent<Message<Edit>>;
  /** A removal (code 7), in the same order. */
  removal: CustomEvent<Message<Removal>>;
  ephemeral: CustomEvent<Ephemeral>;
  /** More was missed than is read by itself, or it was pruned. The messages after it follow. */
  gap: CustomEvent<GapEvent>;
  presence: CustomEvent<PresenceEvent>;
  /** Somebody is typing; nothing says that they have stopped, so let it fade. */
  typing: CustomEvent<User & { topic: string }>;
  /** Nothing more comes from this topic. */
  left: CustomEvent<{ topic: Topic; reason: LeftReason }>;
}

/** Events of the client: those of every topic, and its own. */
export interface ParlourEvents extends TopicEvents {
  state: CustomEvent<{ state: State; reason: EndReason | null }>;
  /** A topic has been joined, in this tab or another. */
  joined: CustomEvent<Topic>;
  /** Something is new in a direct message that is not joined. */
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
  /** Tells those who listen now and stores nothing. Never repeated. */
  ephemeral?: boolean;
  /** The idempotency key; by default one is made. To repeat a send safely, bring its key again. */
  key?: string;
  /** For how many milliseconds a send is tried again while the service cannot be reached. Default: 30,000. */
  patience?: number;
}

/** A client. Without `share` it has a session of its own; else it is this tab's view of the browser's one session. */
export class Parlour extends TypedTarget<ParlourEvents> {
  constructor(options?: Options);
  readonly state: State;
  readonly reason: EndReason | null;
  readonly session: Session | null;
  readonly user: User | null;
  /** What the session has joined, by id. */
  readonly topics: ReadonlyMap<string, Topic>;
  /** Opens the session, or takes up the one that this browser has, and starts to listen. */
  open(): Promise<Session>;
  /** Joins a topic, `room:NAME`, `group:ID` or `dm:USER`. Joining again changes nothing. */
  join(topic: string, options?: { hidden?: boolean }): Promise<Topic>;
  /** Leaves a topic, in all tabs that share the session. */
  leave(topic: string): Promise<void>;
  /** Sends to a joined topic. Sends to one topic are stored in the order of the calls. */
  send(topic: string, content: Json, options?: SendOptions): Promise<Message | Ephemeral>;
  /** A page of history; needs no join. */
  history(topic: string, query?: HistoryQuery): Promise<Page>;
  edit(topic: string, messageId: string, content: Json): Promise<Message>;
  remove(topic: string, messageId: string): Promise<void>;
  /** Says how far the user has read, on all devices. */
  markRead(topic: string, seq: number): Promise<{ read_seq: number; unread: number }>;
  /** Tells that the user is typing; more often than every two seconds is dropped here. */
  typing(topic: string): Promise<void>;
  /** The user's groups and direct messages, latest first. */
  inbox(query?: { limit?: number; cursor?: string }): Promise<{ topics: InboxTopic[]; next_cursor: string | null }>;
  /** Changes how the user is called. */
  rename(username: string): Promise<User>;
  /** Any other call of the API: `call("POST", "/v1/groups", { name: "Gardeners" })`. Answers its JSON. */
  call<Answer = any>(method: string, path: string, body?: unknown, options?: { signal?: AbortSignal }): Promise<Answer>;
  /** Stops listening in this tab. The session stays. */
  close(): void;
  /** Ends the session, in all tabs; `forget` gives up a built-in account that was made here for good. */
  signOut(options?: { forget?: boolean }): Promise<void>;
}

/** A joined topic. */
export class Topic extends TypedTarget<TopicEvents> {
  private constructor();
  /** As the service answers it: a direct message is `dm:A:B`. */
  readonly id: string;
  readonly parlour: Parlour;
  readonly type: "room" | "group" | "dm";
  /** A room's or a group's name, where it is known. */
  readonly name: string | null;
  /** The `seq` of the last entry that was shown. */
  readonly position: number;
  /** Who is here, by session id, kept up to date. */
  readonly presences: ReadonlyMap<string, Presence>;
  /** How many are here; more than `presences` holds where `truncated`. */
  readonly presenceCount: number;
  readonly truncated: boolean;
  send(content: Json, options?: SendOptions): Promise<Message | Ephemeral>;
  history(query?: HistoryQuery): Promise<Page>;
  edit(messageId: string, content: Json): Promise<Message>;
  remove(messageId: string): Promise<void>;
  markRead(seq?: number): Promise<{ read_seq: number; unread: number }>;
  typing(): Promise<void>;
  leave(): Promise<void>;
  /** A window onto the messages, for showing them. */
  timeline(options?: TimelineOptions): Timeline;
}

/** A message on its way, or one that has failed. */
export interface Pending {
  /** Its idempotency key. */
  key: string;
  content: Json;
  sender: User;
  created_at: string;
  /** `sent` is stored, and waits for the stream to bring it in its turn. */
  state: "sending" | "sent" | "failed";
  error: ParlourError | null;
}

export interface TimelineOptions {
  /** Messages read at once. Default: 50. */
  page?: number;
  /** The most that is kept; what is farthest from what was read last is dropped. Default: 300. */
  keep?: number;
}

/**
 * A window onto a topic's messages: history in both directions, then what arrives, with edits and removals worked in
 * and each message once, in order. Fires `change` after each change.
 */
export class Timeline extends TypedTarget<{ change: CustomEvent<null> }> {
  constructor(topic: Topic, options?: TimelineOptions);
  readonly topic: Topic;
  /** Oldest first, without edits and removals. */
  readonly messages: readonly Message[];
  /** The user's own messages that are on their way or have failed, in order; they belong below `messages`. */
  readonly pending: readonly Pending[];
  /** What is gone for good between what is here: it was pruned while nobody listened. */
  readonly gaps: readonly GapEvent[];
  /** Whether `messages` begins with the oldest there is. */
  readonly atStart: boolean;
  /** Whether `messages` ends with the newest, and what arrives is added. */
  readonly atEnd: boolean;
  /** How many have arrived since that are not in `messages`, while not `atEnd`. */
  readonly behind: number;
  /** Reads the first page: the newest, or around a message or time. Calling again starts anew. */
  open(at?: { seq: number } | { time: string }): Promise<void>;
  /** Reads the page before; does nothing at the start, or while one is being read. */
  older(): Promise<void>;
  /** Reads the page after. */
  newer(): Promise<void>;
  /** Shows the message in `pending` and sends it; settles when it is stored or has failed, and never rejects. */
  send(content: Json): Promise<void>;
  /** Sends one that has failed again, with the same key. */
  retry(key: string): Promise<void>;
  /** Gives up one that has failed. It may have been stored all the same, and then stays. */
  discard(key: string): void;
  /** Listens no more. */
  close(): void;
}
