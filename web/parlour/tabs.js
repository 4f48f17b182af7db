/**
 * Several tabs, one stream: a browser opens only six HTTP/1.1 connections to a host, and each stream holds one. The tab
 * that has the lock leads: it listens, and tells the others. When it goes, or does not answer, another one takes over.
 */

/** How long a tab that leads may take to answer, in milliseconds; and how often it is asked. */
const [PATIENCE, ASK] = [5_000, 15_000];

export class Tabs {
  #name;
  #host;
  #shared;
  #channel = null;
  #queue = null;
  #release = null;
  #heard = 0;
  #timer = null;
  #asked = null;
  leads = false;

  /** Whether this browser can do that. */
  static get possible() {
    return Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.document);
  }

  /** `host` has `lead()`, `follow()`, and `told(message)` for what other tabs say. Without `shared`, this one leads. */
  constructor(name, host, shared) {
    [this.#name, this.#host, this.#shared] = [name, host, shared];
  }

  start() {
    if (!this.#shared) {
      this.leads = true;
      this.#host.lead();
      return;
    }
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener("message", ({ data }) => this.#told(data));
    this.#heard = Date.now();
    this.#wait();
    this.#host.follow();
    this.#timer = setInterval(() => this.check(), ASK);
    this.check();
  }

  stop() {
    clearInterval(this.#timer);
    clearTimeout(this.#asked);
    this.#asked = null;
    this.leads = false;
    this.#queue?.abort();
    this.#release?.();
    this.#channel?.close();
    [this.#queue, this.#release, this.#channel] = [null, null, null];
  }

  /** Tells all other tabs. */
  tell(message) {
    this.#channel?.postMessage({ ...message, leads: this.leads });
  }

  /** A tab that can be seen makes sure that somebody leads: one in the background may have been put to sleep. */
  check() {
    if (this.leads || !this.#queue || this.#asked || document.visibilityState === "hidden") return;
    const since = Date.now();
    this.tell({ type: "ping" });
    this.#asked = setTimeout(() => {
      this.#asked = null;
      if (this.#queue && !this.leads && this.#heard < since) this.#take();
    }, PATIENCE);
  }

  #told(message) {
    if (!this.#channel) return;
    if (message.type === "ping") {
      if (this.leads) this.tell({ type: "pong" });
      return;
    }
    if (message.leads) this.#heard = Date.now();
    if (message.type !== "pong") this.#host.told(message);
  }

  /** Leads as soon as nobody else does. */
  #wait() {
    const queue = new AbortController();
    this.#queue = queue;
    const lost = navigator.locks.request(this.#name, { signal: queue.signal }, () => this.#lead());
    lost.catch(() => this.#lost(queue));
  }

  /** Leads in place of a tab that does not answer. */
  #take() {
    this.#queue.abort();
    const queue = new AbortController();
    this.#queue = queue;
    const lost = navigator.locks.request(this.#name, { steal: true }, () =>
      queue.signal.aborted ? null : this.#lead(),
    );
    lost.catch(() => this.#lost(queue));
  }

  /** Holds the lock until this tab stops. */
  #lead() {
    this.leads = true;
    this.#host.lead();
    return new Promise((resolve) => (this.#release = resolve));
  }

  /** Another tab has taken the lock, as this one was asleep. */
  #lost(queue) {
    if (this.#queue !== queue || queue.signal.aborted) return;
    this.leads = false;
    this.#wait();
    this.#host.follow();
  }
}
