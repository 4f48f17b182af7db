/** Calls with the session's token. A call whose token is refused is repeated with a new token. */

import { call, ParlourError } from "./api.js";

export const notOpen = () => new ParlourError(401, "ended", "The session is not open.");

export class AuthorizedCalls {
  #url;
  #session;
  #host;

  /**
   * `session` is the `SessionManager`. `host` provides:
   * - `isOpen()`, false while the client is closed, and `opening()`, a promise that resolves when the session is open;
   * - `onSuccess()`, called after each successful call;
   * - `onReopened()`, called when a new session has replaced an expired one;
   * - `onEnded(reason)`, called when there will be no token any more.
   */
  constructor(url, session, host) {
    this.#url = url;
    this.#session = session;
    this.#host = host;
  }

  /** Makes a call. `options` are those of `call`, without its token. */
  async make(method, path, options) {
    const token = await this.token();
    try {
      const result = await call(this.#url, method, path, { ...options, token });
      this.#host.onSuccess();
      return result;
    } catch (error) {
      if (error.status !== 401 || !this.#host.isOpen()) throw error;
    }
    await this.#endOnFailure(this.#session.renew(token, this.#host.onReopened));
    return call(this.#url, method, path, { ...options, token: await this.token() });
  }

  /** Returns a token that is valid now. */
  async token() {
    if (!this.#host.isOpen()) throw notOpen();
    await this.#host.opening();
    return this.#endOnFailure(this.#session.token(this.#host.onReopened));
  }

  /** Without a token no other call can be made either: if the promise fails for good, the client ends. */
  async #endOnFailure(promise) {
    try {
      return await promise;
    } catch (error) {
      if (!error.retryable) this.#host.onEnded(error.code === "ended" ? "signed_out" : "refused");
      throw error;
    }
  }
}
