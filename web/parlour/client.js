/**
 * What a page talks to: a session, the topics that it has joined, and what happens there.
 *
 * Where tabs share a session, one of them listens and tells the others word for word what the stream says. Each tab then
 * keeps the order of its topics for itself, and reads from history whatever it was not told.
 */

import { Account } from "./account.js";
import { call, inPath, ParlourError, pause, query, unique } from "./api.js";
import { Place } from "./place.js";
import { Sends } from "./sends.js";
import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { Topics } from "./topics.js";

/** The most missed messages of a topic that are read by themselves. */
const FILL = 1_000;
/** The pauses between attempts to open a session, in milliseconds: the first and the longest. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [500, 15_000];
/** How often a user's typing is told, in milliseconds. */
const TYPING = 2_000;
/** How long a tab that was woken may take to learn that another one leads, in milliseconds. */
const WAKING = 1_000;

const closed = () => new ParlourError(401, "ended", "The session is not open.");

export class Parlour extends EventTarget {
  #url;
  #account;
  #place;
  #tabs;
  #stream;
  #sends;
  #state = "ended";
  #reason = null;
  #topics;
  #opened = null;
  #typed = new Map();
  /** Aborted where this tab stops: by `close`, or as the session has ended. */
  #open = null;
  /** What a tab begins with that another one leads has come. */
  #caughtUp = false;
  /** What was joined before this tab asked for that. */
  #had = [];
  #id = unique();

  constructor(options = {}) {
    super();
    this.#url = (options.url ?? globalThis.location?.origin ?? "").replace(/\/+$/, "");
    this.fill = options.fill ?? FILL;
    const shared = options.share !== false && Tabs.possible;
    const key = `parlour ${options.name ?? this.#url}`;
    this.#account = new Account(this.#url, key, options, shared);
    this.#place = new Place(key, () => this.topics);
    this.#topics = new Topics(this, this.#place);
    this.#sends = new Sends((...args) => this.#call(...args));
    this.#stream = new Stream(this.#listener());
    const host = { lead: () => this.#lead(), follow: () => this.#follow(), told: (message) => this.#told(message) };
    this.#tabs = new Tabs(key, host, shared);
  }

  get state() {
    return this.#state;
  }

  get reason() {
    return this.#reason;
  }

  get session() {
    return this.#account.session;
  }

  get user() {
    return this.session?.user ?? null;
  }

  get topics() {
    return this.#topics.all;
  }

  open() {
    if (this.#open) return this.#opened;
    this.#open = new AbortController();
    this.#enter("connecting");
    this.#opened = this.#start(this.#open.signal);
    return this.#opened;
  }

  join(topic, { hidden = false } = {}) {
    return this.#join(topic, (path) => this.#call("PUT", path, hidden ? { hidden } : undefined));
  }

  async leave(topic) {
    await this.#call("DELETE", `/v1/session/topics/${inPath(topic)}`);
    this.#topics.left(topic, "left");
    this.#tabs.tell({ type: "left", topic });
  }

  send(topic, content, options) {
    return this.#sends.send(topic, content, options);
  }

  history(topic, { ...options } = {}) {
    return this.#call("GET", `/v1/topics/${inPath(topic)}/messages${query(options)}`);
  }

  edit(topic, messageId, content) {
    return this.#call("PATCH", `/v1/topics/${inPath(topic)}/messages/${inPath(messageId)}`, { content });
  }

  async remove(topic, messageId) {
    await this.#call("DELETE", `/v1/topics/${inPath(topic)}/messages/${inPath(messageId)}`);
  }

  markRead(topic, seq) {
    return this.#call("PUT", `/v1/topics/${inPath(topic)}/read`, { seq });
  }

  async typing(topic) {
    const now = Date.now();
    if (now - (this.#typed.get(topic) ?? 0) < TYPING) return;
    this.#typed.set(topic, now);
    await this.#call("POST", `/v1/topics/${inPath(topic)}/typing`);
  }

  inbox(options) {
    return this.#call("GET", `/v1/me/topics${query(options)}`);
  }

  async rename(username) {
    const user = await this.#call("PATCH", "/v1/me", { username });
    this.#account.rename(user);
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
    this.#account.forget({ device: forget });
    this.#tabs.tell({ type: "ended", reason: "signed_out" });
    this.#end("signed_out");
  }

  /** The session, as soon as the service can be reached; then this tab leads or follows. */
  async #start(signal) {
    const session = await this.#openSession(signal);
    const rejoin = this.#place.begin(session);
    await this.#rejoin(rejoin, await this.#account.token());
    if (signal.aborted) throw closed();
    this.#tabs.start();
    this.#watch(signal);
    return session;
  }

  async #openSession(signal) {
    for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
      try {
        const session = await this.#account.open();
        if (signal.aborted) throw closed();
        return session;
      } catch (error) {
        if (signal.aborted || !error.passing) {
          if (!signal.aborted) this.#end("refused");
          throw error;
        }
        this.#enter("waiting");
        await pause(Math.max(1000 * (error.retryAfter ?? 0), wait * (0.5 + Math.random())), signal);
      }
    }
  }

  /** Notices when the page comes to sight, sleeps, wakes, goes, or has a network again. */
  #watch(signal) {
    const on = (target, event, act) => target?.addEventListener?.(event, act, { signal });
    const wake = () => {
      this.#tabs.check();
      this.#stream.wake();
    };
    const { document } = globalThis;
    on(globalThis, "online", wake);
    on(globalThis, "pageshow", wake);
    on(globalThis, "pagehide", () => this.#place.keep());
    on(document, "visibilitychange", () => (document.visibilityState === "visible" ? wake() : this.#place.keep()));
    on(document, "freeze", () => this.#sleep());
    on(document, "resume", () => this.#tabs.start());
  }

  /** The browser puts the page to sleep: what it had been reading may say nothing any more when it wakes. */
  #sleep() {
    this.#place.keep();
    this.#stream.stop();
    this.#tabs.stop();
    this.#enter("connecting");
  }

  // Calls

  async #call(method, path, body, options = {}) {
    const token = await this.#token();
    try {
      return this.#reached(await call(this.#url, method, path, { ...options, body, token }));
    } catch (error) {
      if (error.status !== 401 || !this.#open) throw error;
    }
    await this.#renew(token);
    return call(this.#url, method, path, { ...options, body, token: await this.#token() });
  }

  /** What gets through tells that the service is back: the stream's pause, which may be long, is over with that. */
  #reached(answer) {
    if (this.#state === "waiting" && this.#tabs.leads) this.#stream.wake();
    else if (this.#state === "waiting") this.#tabs.tell({ type: "reached" });
    return answer;
  }

  async #token() {
    if (!this.#open) throw closed();
    await this.#opened;
    return this.#ended(this.#account.token(() => this.#reopened()));
  }

  #renew(token) {
    return this.#ended(this.#account.renew(token, () => this.#reopened()));
  }

  /** What is ended for one call is ended for all. */
  async #ended(promise) {
    try {
      return await promise;
    } catch (error) {
      if (!error.passing) this.#end(error.code === "ended" ? "signed_out" : "refused");
      throw error;
    }
  }

  /** The session had expired, and there is a new one: it joins what the old one had joined. */
  async #reopened() {
    this.#place.begin(this.session);
    await this.#rejoin([...this.topics.keys()], await this.#account.token());
    this.#tabs.tell({ type: "session" });
    this.#stream.restart();
  }

  /** Joins again, however long that takes: until then, what was joined would miss something. */
  async #rejoin(topics, token, signal = this.#open?.signal) {
    for (const topic of topics) {
      while (!signal.aborted) {
        try {
          await this.#join(topic, (path) => call(this.#url, "PUT", path, { token }));
          break;
        } catch (error) {
          if (!error.passing) this.#topics.left(topic, "gone");
          if (!error.passing) break;
          await pause(1000 * (error.retryAfter ?? 1), signal);
        }
      }
    }
  }

  async #join(id, put) {
    const before = this.#topics.positionOf(id);
    const answer = await put(`/v1/session/topics/${inPath(id)}`);
    const topic = this.#topics.joined(answer);
    if (answer.topic.last_seq < before) topic.restart(answer.position);
    this.#tabs.tell({ type: "joined", answer });
    return topic;
  }

  // Listening

  #listener() {
    return {
      url: this.#url,
      lastId: () => this.#place.lastId,
      token: () => this.#token(),
      state: (state) => this.#tell({ type: "state", state }),
      event: (event, data, id) => this.#tell({ type: "event", event, data, id }),
      alive: async () => (await this.#call("GET", "/v1/session")).stream_open,
      gone: () => this.#call("GET", "/v1/session"),
      over: (error) => this.#end(error.status === 401 ? "signed_out" : "refused"),
    };
  }

  #lead() {
    this.#stream.start();
  }

  #follow() {
    this.#stream.stop();
    this.#caughtUp = false;
    this.#had = [...this.topics.keys()];
    this.#tabs.tell({ type: "hello", from: this.#id });
  }

  /** For this tab and all others. */
  #tell(message) {
    this.#tabs.tell(message);
    this.#hear(message);
  }

  /** What another tab says. */
  #told(message) {
    if (!this.#open) return;
    if (message.type === "hello" && this.#tabs.leads) this.#tabs.tell(this.#snapshot(message.from));
    else if (message.type === "snapshot" && message.to === this.#id) this.#begin(message);
    else if (message.type === "joined") this.#topics.joined(message.answer);
    else if (message.type === "left") this.#topics.left(message.topic, "left");
    else if (message.type === "session") this.#taken();
    else if (message.type === "reached" && this.#tabs.leads) this.#stream.wake();
    else if (message.type === "ended") this.#end(message.reason);
    else if (this.#caughtUp && !this.#tabs.leads) this.#hear(message);
  }

  /** Another tab has opened a new session. */
  #taken() {
    this.#account.reload();
    if (!this.session) return;
    this.#place.begin(this.session);
    this.#stream.restart();
  }

  #snapshot(to) {
    return { type: "snapshot", to, topics: this.#topics.snapshots(), state: this.#state, lastId: this.#place.lastId };
  }

  #begin({ topics, state, lastId }) {
    this.#caughtUp = true;
    this.#place.lastId = lastId;
    this.#topics.begin(topics, this.#had);
    this.#enter(state);
  }

  #hear({ type, state, event, data, id }) {
    if (type === "state") return this.#enter(state);
    if (type !== "event") return;
    if (event === "bye") return this.#bye(data);
    this.#topics.happened(event, data, this.#open?.signal);
    // Behind it: what is kept is never ahead of what was shown.
    if (id !== undefined) this.#place.lastId = id;
  }

  async #bye({ reason, reconnect }) {
    if (reconnect || !this.#tabs.leads) return;
    if (reason === "signed_out") {
      this.#tabs.tell({ type: "ended", reason });
      this.#end(reason);
    }
    if (reason !== "replaced") return;
    // Where a tab has taken over while this one was asleep, that comes out in a moment.
    this.#stream.stop();
    if (!(await pause(WAKING, this.#open?.signal)) || !this.#tabs.leads) return;
    this.#tabs.tell({ type: "ended", reason });
    this.#end(reason);
  }

  // State

  #enter(state, reason = null) {
    if (state === this.#state && reason === this.#reason) return;
    [this.#state, this.#reason] = [state, reason];
    this.#emit("state", { state, reason });
  }

  #end(reason) {
    if (!this.#open) return;
    if (reason === "signed_out") this.#forget();
    else this.#place.keep();
    this.#open.abort();
    this.#open = null;
    this.#stream.stop();
    this.#tabs.stop();
    this.#account.rest();
    this.#enter("ended", reason);
  }

  /** Whoever signs in next begins with nothing. */
  #forget() {
    this.#account.forget();
    this.#place.forget();
    this.#topics.clear();
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
