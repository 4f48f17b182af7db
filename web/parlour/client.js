/**
 * The client: a session, its joined topics, and their events.
 *
 * If tabs share a session, one of them is the leader: it has the stream, and sends each event of it unchanged to the
 * other tabs, the followers. Each tab keeps the order of its own topics, and reads from history the entries that it has
 * not received.
 */

import { call, pathSegment, queryString, uniqueId } from "./api.js";
import { AuthorizedCalls, notOpen } from "./authorized-calls.js";
import { delay, withJitter } from "./delay.js";
import { Outbox } from "./outbox.js";
import { watchPage } from "./page.js";
import { ResumeState } from "./resume-state.js";
import { SessionManager } from "./session.js";
import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { JoinedTopics } from "./topics.js";

/** The default number of missed entries of a topic that are read from history. */
const DEFAULT_FILL = 1_000;
/** The delay after the first failed attempt to open a session, in milliseconds. It doubles with each one. */
const FIRST_RETRY_DELAY = 500;
/** The longest delay between two attempts to open a session, in milliseconds. */
const MAX_RETRY_DELAY = 15_000;
/** The shortest time between two `typing` calls for a topic, in milliseconds. */
const TYPING_INTERVAL = 2_000;
/** The time in which a tab that was frozen notices that another tab is the leader now, in milliseconds. */
const LEADER_CHANGE_DELAY = 1_000;

export class Parlour extends EventTarget {
  #url;
  #session;
  #calls;
  #resumeState;
  #tabs;
  #stream;
  #outbox;
  #state = "ended";
  #reason = null;
  #topics;
  /** Resolves to the session when it is open. */
  #opening = null;
  /** By topic, when the last `typing` call was made. */
  #typingSentAt = new Map();
  /** Aborts when this tab closes or its session ends; null while it is closed. */
  #closed = null;
  /**
   * True if this follower has received the leader's snapshot. Events before the snapshot are left out: it contains
   * them.
   */
  #hasSnapshot = false;
  /** The ids of the topics that were joined before this tab requested a snapshot. */
  #topicsBeforeSnapshot = [];
  /** Names this tab in messages between tabs. */
  #tabId = uniqueId();

  constructor(options = {}) {
    super();
    this.#url = (options.url ?? globalThis.location?.origin ?? "").replace(/\/+$/, "");
    this.fill = options.fill ?? DEFAULT_FILL;
    const shared = options.share !== false && Tabs.supported;
    const key = `parlour ${options.name ?? this.#url}`;
    this.#session = new SessionManager(this.#url, key, options, shared);
    this.#calls = new AuthorizedCalls(this.#url, this.#session, this.#callsHost());
    this.#resumeState = new ResumeState(key, () => this.topics);
    this.#topics = new JoinedTopics(this, this.#resumeState);
    this.#outbox = new Outbox((...args) => this.#call(...args));
    this.#stream = new Stream(this.#streamHost());
    this.#tabs = new Tabs(key, this.#tabsHost(), shared);
  }

  get state() {
    return this.#state;
  }

  get reason() {
    return this.#reason;
  }

  get session() {
    return this.#session.session;
  }

  get user() {
    return this.session?.user ?? null;
  }

  get topics() {
    return this.#topics.all;
  }

  open() {
    if (this.#closed) return this.#opening;
    this.#closed = new AbortController();
    this.#setState("connecting");
    this.#opening = this.#start(this.#closed.signal);
    return this.#opening;
  }

  join(topic, { hidden = false } = {}) {
    return this.#join(topic, (path) => this.#call("PUT", path, hidden ? { hidden } : undefined));
  }

  async leave(topic) {
    await this.#call("DELETE", `/v1/session/topics/${pathSegment(topic)}`);
    this.#topics.remove(topic, "left");
    this.#tabs.broadcast({ type: "left", topic });
  }

  send(topic, content, options) {
    return this.#outbox.send(topic, content, options);
  }

  history(topic, { ...query } = {}) {
    return this.#call("GET", `/v1/topics/${pathSegment(topic)}/messages${queryString(query)}`);
  }

  edit(topic, messageId, content) {
    return this.#call("PATCH", `/v1/topics/${pathSegment(topic)}/messages/${pathSegment(messageId)}`, { content });
  }

  async remove(topic, messageId) {
    await this.#call("DELETE", `/v1/topics/${pathSegment(topic)}/messages/${pathSegment(messageId)}`);
  }

  markRead(topic, seq) {
    return this.#call("PUT", `/v1/topics/${pathSegment(topic)}/read`, { seq });
  }

  async typing(topic) {
    const now = Date.now();
    if (now - (this.#typingSentAt.get(topic) ?? 0) < TYPING_INTERVAL) return;
    this.#typingSentAt.set(topic, now);
    await this.#call("POST", `/v1/topics/${pathSegment(topic)}/typing`);
  }

  inbox(query) {
    return this.#call("GET", `/v1/me/topics${queryString(query)}`);
  }

  async rename(username) {
    const user = await this.#call("PATCH", "/v1/me", { username });
    this.#session.setUser(user);
    return user;
  }

  call(method, path, body, { signal } = {}) {
    return this.#call(method, path, body, { signal });
  }

  close() {
    this.#end("closed");
  }

  async signOut({ forget = false } = {}) {
    try {
      await this.#call("DELETE", "/v1/session");
    } catch (error) {
      if (error.status !== 401) throw error;
    }
    this.#session.forget({ device: forget });
    this.#tabs.broadcast({ type: "ended", reason: "signed_out" });
    this.#end("signed_out");
  }

  // Opening

  /** Opens the session, and retries until the service responds. Then this tab becomes the leader or a follower. */
  async #start(signal) {
    const session = await this.#openSession(signal);
    const topics = this.#resumeState.begin(session);
    await this.#rejoin(topics, await this.#session.token());
    if (signal.aborted) throw notOpen();
    this.#tabs.start();
    this.#watchPage(signal);
    return session;
  }

  async #openSession(signal) {
    for (let wait = FIRST_RETRY_DELAY; ; wait = Math.min(2 * wait, MAX_RETRY_DELAY)) {
      try {
        const session = await this.#session.open();
        if (signal.aborted) throw notOpen();
        return session;
      } catch (error) {
        if (signal.aborted) throw error;
        if (!error.retryable) {
          this.#end("refused");
          throw error;
        }
        this.#setState("waiting");
        await delay(Math.max(1000 * (error.retryAfter ?? 0), withJitter(wait)), signal);
      }
    }
  }

  #watchPage(signal) {
    const onWake = () => {
      this.#tabs.checkLeader();
      this.#stream.checkNow();
    };
    const onHide = () => this.#resumeState.save();
    const onFreeze = () => this.#stopForFreeze();
    const onResume = () => this.#tabs.start();
    watchPage({ onWake, onHide, onFreeze, onResume }, signal);
  }

  /** Closes the stream before the browser freezes the page: its connection may be dead when the page goes on. */
  #stopForFreeze() {
    this.#resumeState.save();
    this.#stream.stop();
    this.#tabs.stop();
    this.#setState("connecting");
  }

  // Calls

  #callsHost() {
    return {
      isOpen: () => this.#closed !== null,
      opening: () => this.#opening,
      onSuccess: () => this.#reportReachable(),
      onReopened: () => this.#onReopened(),
      onEnded: (reason) => this.#end(reason),
    };
  }

  #call(method, path, body, options = {}) {
    return this.#calls.make(method, path, { ...options, body });
  }

  /** A call has succeeded, so the service is back: ends the retry delay of the stream, which may be long. */
  #reportReachable() {
    if (this.#state !== "waiting") return;
    if (this.#tabs.isLeader) this.#stream.checkNow();
    else this.#tabs.broadcast({ type: "reached" });
  }

  // Joining

  /** The session had expired and there is a new one. It joins the topics of the old one. */
  async #onReopened() {
    this.#resumeState.begin(this.session);
    await this.#rejoin([...this.topics.keys()], await this.#session.token());
    this.#tabs.broadcast({ type: "session" });
    this.#stream.restart();
  }

  /**
   * Joins topics again, and retries until each is joined or refused: a stream without a join would miss its entries.
   */
  async #rejoin(topics, token, signal = this.#closed?.signal) {
    for (const topic of topics) await this.#rejoinTopic(topic, token, signal);
  }

  async #rejoinTopic(topic, token, signal) {
    while (!signal.aborted) {
      try {
        await this.#join(topic, (path) => call(this.#url, "PUT", path, { token }));
        return;
      } catch (error) {
        if (!error.retryable) {
          this.#topics.remove(topic, "gone");
          return;
        }
        await delay(1000 * (error.retryAfter ?? 1), signal);
      }
    }
  }

  async #join(id, put) {
    const positionBefore = this.#topics.positionOf(id);
    const joined = await put(`/v1/session/topics/${pathSegment(id)}`);
    const topic = this.#topics.add(joined);
    if (joined.topic.last_seq < positionBefore) topic.restart(joined.position);
    this.#tabs.broadcast({ type: "joined", answer: joined });
    return topic;
  }

  // Stream and tabs

  #streamHost() {
    return {
      url: this.#url,
      lastId: () => this.#resumeState.lastId,
      token: () => this.#calls.token(),
      onState: (state) => this.#handleInAllTabs({ type: "state", state }),
      onEvent: (event, data, id) => this.#handleInAllTabs({ type: "event", event, data, id }),
      isOpen: async () => (await this.#call("GET", "/v1/session")).stream_open,
      onRefused: () => this.#call("GET", "/v1/session"),
      onFailed: (error) => this.#end(error.status === 401 ? "signed_out" : "refused"),
    };
  }

  #tabsHost() {
    return {
      onLead: () => this.#stream.start(),
      onFollow: () => this.#follow(),
      onMessage: (message) => this.#receive(message),
    };
  }

  /** Becomes a follower, and requests a snapshot from the leader. */
  #follow() {
    this.#stream.stop();
    this.#hasSnapshot = false;
    this.#topicsBeforeSnapshot = [...this.topics.keys()];
    this.#tabs.broadcast({ type: "hello", from: this.#tabId });
  }

  #handleInAllTabs(message) {
    this.#tabs.broadcast(message);
    this.#handle(message);
  }

  /** Handles a message of another tab. */
  #receive(message) {
    if (!this.#closed) return;
    const { isLeader } = this.#tabs;
    if (message.type === "hello" && isLeader) this.#tabs.broadcast(this.#snapshot(message.from));
    else if (message.type === "snapshot" && message.to === this.#tabId) this.#restore(message);
    else if (message.type === "joined") this.#topics.add(message.answer);
    else if (message.type === "left") this.#topics.remove(message.topic, "left");
    else if (message.type === "session") this.#adoptSession();
    else if (message.type === "reached" && isLeader) this.#stream.checkNow();
    else if (message.type === "ended") this.#end(message.reason);
    else if (this.#hasSnapshot && !isLeader) this.#handle(message);
  }

  /** Another tab has opened a new session. */
  #adoptSession() {
    this.#session.reload();
    if (!this.session) return;
    this.#resumeState.begin(this.session);
    this.#stream.restart();
  }

  #snapshot(to) {
    const { lastId } = this.#resumeState;
    return { type: "snapshot", to, topics: this.#topics.snapshots(), state: this.#state, lastId };
  }

  #restore({ topics, state, lastId }) {
    this.#hasSnapshot = true;
    this.#resumeState.lastId = lastId;
    this.#topics.restore(topics, this.#topicsBeforeSnapshot);
    this.#setState(state);
  }

  /** Handles a state or an event of the stream. */
  #handle({ type, state, event, data, id }) {
    if (type === "state") return this.#setState(state);
    if (type !== "event") return;
    if (event === "bye") return this.#handleBye(data);
    this.#topics.handleEvent(event, data, this.#closed?.signal);
    // Set after the event is handled: a saved id never covers an entry that was not shown.
    if (id !== undefined) this.#resumeState.lastId = id;
  }

  async #handleBye({ reason, reconnect }) {
    if (reconnect || !this.#tabs.isLeader) return;
    if (reason === "signed_out") {
      this.#tabs.broadcast({ type: "ended", reason });
      this.#end(reason);
    }
    if (reason !== "replaced") return;
    // If another tab became the leader while this one was frozen, this tab loses the lock in a moment. Otherwise a
    // client outside of this browser has replaced the stream.
    this.#stream.stop();
    if (!(await delay(LEADER_CHANGE_DELAY, this.#closed?.signal)) || !this.#tabs.isLeader) return;
    this.#tabs.broadcast({ type: "ended", reason });
    this.#end(reason);
  }

  // State

  #setState(state, reason = null) {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, reason } }));
  }

  #end(reason) {
    if (!this.#closed) return;
    if (reason === "signed_out") this.#forget();
    else this.#resumeState.save();
    this.#closed.abort();
    this.#closed = null;
    this.#stream.stop();
    this.#tabs.stop();
    this.#session.stopRefreshing();
    this.#setState("ended", reason);
  }

  /** The next user who signs in starts without the data of this one. */
  #forget() {
    this.#session.forget();
    this.#resumeState.clear();
    this.#topics.clear();
  }
}
