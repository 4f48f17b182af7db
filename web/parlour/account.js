/** The session of an account and its tokens: opened once, refreshed in time, and opened anew when it has expired. */

import { call, ParlourError, unique } from "./api.js";
import { Storage } from "./storage.js";

/** A session is refreshed when a third of its life is left. */
const REFRESH_AT = 1 / 3;
/** Clocks differ: what was refused so shortly before the end has expired. */
const SLACK = 1 / 10;
/** The longest that a timer can wait. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class Account {
  #url;
  #key;
  #options;
  #store;
  #devices = new Storage("localStorage");
  #record = null;
  #timer = null;

  /** With `shared`, all tabs have one session. */
  constructor(url, key, options, shared) {
    [this.#url, this.#key, this.#options] = [url, key, options];
    this.#store = new Storage(shared ? "localStorage" : "sessionStorage");
  }

  /** The session, as the service tells of it, or null. */
  get session() {
    return this.#record?.session ?? null;
  }

  /** Takes up the session that is kept, where it still holds, or opens one. */
  open() {
    return exclusive(this.#key, async () => {
      const kept = this.#store.get(this.#key);
      if (kept && (await this.#isOurs(kept)) && (await this.#holds(kept))) return this.#keep(kept);
      return this.#openNew();
    });
  }

  /** A token that is good for now. Calls `reopened` where a new session had to be opened for it. */
  async token(reopened) {
    this.reload();
    if (!this.#record) throw ended();
    if (Date.now() >= this.#record.deadline) await this.renew(this.#record.token, reopened);
    return this.#record.token;
  }

  /**
   * After a token was refused: another tab may have a newer one; an expired session is followed by a new one. What
   * was ended on purpose stays ended.
   */
  renew(refused, reopened) {
    return exclusive(this.#key, async () => {
      const kept = this.#store.get(this.#key);
      if (!kept) throw ended();
      if (kept.token !== refused) return this.#keep(kept);
      if (Date.now() < kept.deadline - SLACK * kept.life) throw ended();
      await this.#openNew();
      await reopened();
    });
  }

  /** Takes what another tab has kept. */
  reload() {
    const kept = this.#store.get(this.#key);
    if (kept && kept.token !== this.#record?.token) this.#keep(kept);
    else this.#record = kept;
  }

  /** Forgets the session, and with `device` the built-in account that was made here. */
  forget({ device = false } = {}) {
    this.rest();
    // Another tab may have a new one by now.
    if (this.#store.get(this.#key)?.session.id === this.#record?.session.id) this.#store.remove(this.#key);
    this.#record = null;
    if (device) this.#devices.remove(this.#deviceKey());
  }

  /** The user has another name. */
  rename(user) {
    if (this.#record) this.#keep({ ...this.#record, session: { ...this.#record.session, user } });
  }

  /** Refreshes no more. */
  rest() {
    clearTimeout(this.#timer);
  }

  async #openNew() {
    const { username, userToken } = this.#options;
    const opening = userToken
      ? { token: await userToken() }
      : { body: { device_id: this.#device(), ...(username && { username }) } };
    const { session, token } = await call(this.#url, "POST", "/v1/sessions", opening);
    const life = Date.parse(session.expires_at) - Date.parse(session.created_at);
    return this.#keep({ session, token, life, deadline: Date.now() + life, owner: this.#owner() });
  }

  async #refresh() {
    const kept = this.#store.get(this.#key);
    if (!kept || kept.token !== this.#record?.token) return this.reload();
    const { userToken } = this.#options;
    const body = userToken ? { user_token: await userToken() } : undefined;
    const { session, token } = await call(this.#url, "POST", "/v1/session/refresh", { token: kept.token, body });
    // By how much the service moved the end: its clock and ours may differ.
    const moved = Date.parse(session.expires_at) - Date.parse(kept.session.expires_at);
    this.#keep({ ...kept, session, token, deadline: kept.deadline + moved });
  }

  #keep(record) {
    this.#record = record;
    this.#store.set(this.#key, record);
    this.#refreshIn(record.deadline - REFRESH_AT * record.life - Date.now());
    return record.session;
  }

  #refreshIn(milliseconds) {
    clearTimeout(this.#timer);
    const tryAgain = () => this.#record && this.#refreshIn((REFRESH_AT * this.#record.life) / 10);
    const refresh = () => exclusive(this.#key, () => this.#refresh()).catch(tryAgain);
    this.#timer = setTimeout(refresh, Math.min(Math.max(milliseconds, 0), LONGEST_TIMER));
  }

  /** Whether what is kept belongs to the account that the page means. */
  async #isOurs(kept) {
    const { userToken } = this.#options;
    return userToken ? kept.session.user.user_id === subject(await userToken()) : kept.owner === this.#owner();
  }

  /** Whether the service still knows the session. */
  async #holds(kept) {
    if (Date.now() >= kept.deadline) return false;
    try {
      await call(this.#url, "GET", "/v1/session", { token: kept.token });
      return true;
    } catch (error) {
      if (error.status === 401) return false;
      throw error;
    }
  }

  #owner() {
    return this.#options.userToken ? null : fingerprint(this.#device());
  }

  #device() {
    const key = this.#deviceKey();
    const device = this.#options.deviceId ?? this.#devices.get(key) ?? unique();
    if (!this.#options.deviceId) this.#devices.set(key, device);
    return device;
  }

  #deviceKey() {
    return `${this.#key} device`;
  }
}

const ended = () => new ParlourError(401, "ended", "The session has ended.");

/** Whose token it is (RFC 7519 §4.1.2). */
function subject(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub;
  } catch {
    return null;
  }
}

/** Tells device ids apart without keeping them (FNV-1a). */
function fingerprint(text) {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return hash >>> 0;
}

/** What waits in this page, where there are no Web Locks. */
const queues = new Map();

/** Runs one at a time of what has the same name: in all tabs, where the browser can do that. */
function exclusive(name, work) {
  if (globalThis.navigator?.locks) return navigator.locks.request(`${name} session`, work);
  const turn = (queues.get(name) ?? Promise.resolve()).then(work);
  queues.set(
    name,
    turn.catch(() => {}),
  );
  return turn;
}
