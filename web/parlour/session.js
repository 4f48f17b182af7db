/**
 * The session and its token: opened once, refreshed before it expires, and replaced by a new session when it has
 * expired.
 *
 * The browser's storage holds one record of it: `session` as the service returned it, `token`, `life` (its lifetime in
 * milliseconds), `deadline` (when it expires, by this machine's clock) and `owner` (a hash of the device id of a
 * built-in account, or null). Tabs that share the session share the record.
 */

import { call, ParlourError, uniqueId } from "./api.js";
import { BrowserStorage } from "./storage.js";

/** A session is refreshed when this share of its lifetime is left. */
const REFRESH_AT = 1 / 3;
/**
 * The clocks of this machine and of the service differ: a token that is refused when less than this share of its
 * lifetime is left counts as expired.
 */
const CLOCK_TOLERANCE = 1 / 10;
/** The longest delay of `setTimeout`, in milliseconds. */
const MAX_TIMEOUT = 2 ** 31 - 1;

export class SessionManager {
  #url;
  #key;
  #options;
  #storage;
  #deviceStorage = new BrowserStorage("localStorage");
  #record = null;
  #refreshTimer = null;

  /** `options` are those of `Parlour`. If `shared` is true, all tabs of the browser have one session. */
  constructor(url, key, options, shared) {
    this.#url = url;
    this.#key = key;
    this.#options = options;
    this.#storage = new BrowserStorage(shared ? "localStorage" : "sessionStorage");
  }

  /** The session as the service returned it, or null. */
  get session() {
    return this.#record?.session ?? null;
  }

  /** Returns the stored session if it is still valid and belongs to the same account; otherwise opens a new one. */
  open() {
    return withLock(this.#key, async () => {
      const stored = this.#storage.get(this.#key);
      if (stored && (await this.#belongsToAccount(stored)) && (await this.#isValid(stored))) return this.#save(stored);
      return this.#openNew();
    });
  }

  /** Returns a token that is valid now. Calls `onReopened` if that took a new session. */
  async token(onReopened) {
    this.reload();
    if (!this.#record) throw sessionEnded();
    if (Date.now() >= this.#record.deadline) await this.renew(this.#record.token, onReopened);
    return this.#record.token;
  }

  /**
   * Replaces a token that was refused. Another tab may have stored a newer token already. If the session has expired,
   * opens a new one. A session that was ended on purpose stays ended: throws.
   */
  renew(refusedToken, onReopened) {
    return withLock(this.#key, async () => {
      const stored = this.#storage.get(this.#key);
      if (!stored) throw sessionEnded();
      if (stored.token !== refusedToken) return this.#save(stored);
      if (Date.now() < stored.deadline - CLOCK_TOLERANCE * stored.life) throw sessionEnded();
      await this.#openNew();
      await onReopened();
    });
  }

  /** Reads the record again, which another tab may have changed. */
  reload() {
    const stored = this.#storage.get(this.#key);
    if (stored && stored.token !== this.#record?.token) this.#save(stored);
    else this.#record = stored;
  }

  /** Removes the session. With `device`, also removes the device id of a built-in account, and with it the account. */
  forget({ device = false } = {}) {
    this.stopRefreshing();
    // Another tab may have stored a new session in the meantime: that one stays.
    if (this.#storage.get(this.#key)?.session.id === this.#record?.session.id) this.#storage.remove(this.#key);
    this.#record = null;
    if (device) this.#deviceStorage.remove(this.#deviceKey());
  }

  /** Records that the user's name has changed. */
  setUser(user) {
    if (this.#record) this.#save({ ...this.#record, session: { ...this.#record.session, user } });
  }

  stopRefreshing() {
    clearTimeout(this.#refreshTimer);
  }

  async #openNew() {
    const { username, userToken } = this.#options;
    const request = userToken
      ? { token: await userToken() }
      : { body: { device_id: this.#deviceId(), ...(username && { username }) } };
    const { session, token } = await call(this.#url, "POST", "/v1/sessions", request);
    const life = Date.parse(session.expires_at) - Date.parse(session.created_at);
    return this.#save({ session, token, life, deadline: Date.now() + life, owner: this.#owner() });
  }

  async #refresh() {
    const stored = this.#storage.get(this.#key);
    if (!stored || stored.token !== this.#record?.token) return this.reload();
    const { userToken } = this.#options;
    const body = userToken ? { user_token: await userToken() } : undefined;
    const { session, token } = await call(this.#url, "POST", "/v1/session/refresh", { token: stored.token, body });
    // The deadline moves as far as the service has moved the expiry, because the two clocks may differ.
    const extension = Date.parse(session.expires_at) - Date.parse(stored.session.expires_at);
    this.#save({ ...stored, session, token, deadline: stored.deadline + extension });
  }

  #save(record) {
    this.#record = record;
    this.#storage.set(this.#key, record);
    this.#refreshIn(record.deadline - REFRESH_AT * record.life - Date.now());
    return record.session;
  }

  #refreshIn(milliseconds) {
    this.stopRefreshing();
    const retry = () => {
      if (this.#record) this.#refreshIn((REFRESH_AT * this.#record.life) / 10);
    };
    const refresh = () => withLock(this.#key, () => this.#refresh()).catch(retry);
    this.#refreshTimer = setTimeout(refresh, Math.min(Math.max(milliseconds, 0), MAX_TIMEOUT));
  }

  /** Reports whether a stored record belongs to the account that the options name. */
  async #belongsToAccount(stored) {
    const { userToken } = this.#options;
    return userToken ? stored.session.user.user_id === subjectOf(await userToken()) : stored.owner === this.#owner();
  }

  /** Reports whether the service accepts a stored session. */
  async #isValid(stored) {
    if (Date.now() >= stored.deadline) return false;
    try {
      await call(this.#url, "GET", "/v1/session", { token: stored.token });
      return true;
    } catch (error) {
      if (error.status === 401) return false;
      throw error;
    }
  }

  #owner() {
    return this.#options.userToken ? null : hashOf(this.#deviceId());
  }

  /** Returns the device id of the built-in account. Makes and stores one at the first use. */
  #deviceId() {
    const key = this.#deviceKey();
    const deviceId = this.#options.deviceId ?? this.#deviceStorage.get(key) ?? uniqueId();
    if (!this.#options.deviceId) this.#deviceStorage.set(key, deviceId);
    return deviceId;
  }

  #deviceKey() {
    return `${this.#key} device`;
  }
}

const sessionEnded = () => new ParlourError(401, "ended", "The session has ended.");

/** Returns the subject of a JWT (RFC 7519 §4.1.2) without verifying it, or null if it cannot be read. */
function subjectOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub;
  } catch {
    return null;
  }
}

/** Returns a 32-bit hash (FNV-1a) that tells device ids apart, so that the id itself is not stored twice. */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return hash >>> 0;
}

/** By name, the last task of this page, for browsers without Web Locks. */
const lastTasks = new Map();

/** Runs tasks of one name one after another: in all tabs, if the browser has Web Locks; otherwise in this page. */
function withLock(name, task) {
  if (globalThis.navigator?.locks) return navigator.locks.request(`${name} session`, task);
  const result = (lastTasks.get(name) ?? Promise.resolve()).then(task);
  lastTasks.set(
    name,
    result.catch(() => {}),
  );
  return result;
}
