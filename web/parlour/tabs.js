/**
 * Several tabs share one stream: a browser opens only six HTTP/1.1 connections to a host, and each stream holds one.
 * The tab that holds the Web Lock is the leader: it has the stream, and sends its events to the other tabs, the
 * followers, over a BroadcastChannel. When the leader closes or does not respond, a follower becomes the leader.
 *
 * Tabs that run different versions of this module may share a channel. The types and fields of its messages therefore
 * stay as they are.
 */

/** The time in which the leader must respond to a ping, in milliseconds. */
const PONG_TIMEOUT = 5_000;
/** The interval at which a visible follower pings the leader, in milliseconds. */
const PING_INTERVAL = 15_000;

export class Tabs {
  #name;
  #host;
  #shared;
  #channel = null;
  /** Aborts the request for the lock; null while this tab is stopped. */
  #lockRequest = null;
  /** Releases the lock while this tab is the leader. */
  #releaseLock = null;
  #leaderSeenAt = 0;
  #pingInterval = null;
  #pongTimeout = null;
  /** True if this tab is the leader. */
  isLeader = false;

  /** True if this browser has what sharing needs. */
  static get supported() {
    return Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.document);
  }

  /**
   * `host` provides `onLead()`, called when this tab becomes the leader, `onFollow()`, called when it becomes a
   * follower, and `onMessage(message)` for the messages of other tabs. If `shared` is false, this tab is its own
   * leader.
   */
  constructor(name, host, shared) {
    this.#name = name;
    this.#host = host;
    this.#shared = shared;
  }

  start() {
    if (!this.#shared) {
      this.isLeader = true;
      this.#host.onLead();
      return;
    }
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener("message", ({ data }) => this.#receive(data));
    this.#leaderSeenAt = Date.now();
    this.#requestLock();
    this.#host.onFollow();
    this.#pingInterval = setInterval(() => this.checkLeader(), PING_INTERVAL);
    this.checkLeader();
  }

  stop() {
    clearInterval(this.#pingInterval);
    clearTimeout(this.#pongTimeout);
    this.#pongTimeout = null;
    this.isLeader = false;
    this.#lockRequest?.abort();
    this.#lockRequest = null;
    this.#releaseLock?.();
    this.#releaseLock = null;
    this.#channel?.close();
    this.#channel = null;
  }

  /** Sends a message to all other tabs. */
  broadcast(message) {
    this.#channel?.postMessage({ ...message, leads: this.isLeader });
  }

  /**
   * Pings the leader, and takes its place if it does not respond: the browser may have frozen a tab in the background.
   */
  checkLeader() {
    if (this.isLeader || !this.#lockRequest || this.#pongTimeout || document.visibilityState === "hidden") return;
    const pingedAt = Date.now();
    this.broadcast({ type: "ping" });
    this.#pongTimeout = setTimeout(() => {
      this.#pongTimeout = null;
      if (this.#lockRequest && !this.isLeader && this.#leaderSeenAt < pingedAt) this.#stealLock();
    }, PONG_TIMEOUT);
  }

  #receive(message) {
    if (!this.#channel) return;
    if (message.type === "ping") {
      if (this.isLeader) this.broadcast({ type: "pong" });
      return;
    }
    if (message.leads) this.#leaderSeenAt = Date.now();
    if (message.type !== "pong") this.#host.onMessage(message);
  }

  /** Becomes the leader as soon as no other tab holds the lock. */
  #requestLock() {
    const request = new AbortController();
    this.#lockRequest = request;
    const held = navigator.locks.request(this.#name, { signal: request.signal }, () => this.#becomeLeader());
    held.catch(() => this.#onLockLost(request));
  }

  /** Becomes the leader in place of a tab that does not respond. */
  #stealLock() {
    this.#lockRequest.abort();
    const request = new AbortController();
    this.#lockRequest = request;
    const held = navigator.locks.request(this.#name, { steal: true }, () => {
      return request.signal.aborted ? null : this.#becomeLeader();
    });
    held.catch(() => this.#onLockLost(request));
  }

  /** Returns a promise that holds the lock until this tab stops. */
  #becomeLeader() {
    this.isLeader = true;
    this.#host.onLead();
    return new Promise((resolve) => {
      this.#releaseLock = resolve;
    });
  }

  /** Another tab has taken the lock while this one was frozen. */
  #onLockLost(request) {
    if (this.#lockRequest !== request || request.signal.aborted) return;
    this.isLeader = false;
    this.#requestLock();
    this.#host.onFollow();
  }
}
