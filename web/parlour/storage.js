/** Where things are kept: the browser's storage, or memory where there is none (Node) or none is allowed. */

export class Storage {
  #store;

  /** `kind` is `localStorage`, of all tabs, or `sessionStorage`, of this one and its reloads. */
  constructor(kind) {
    this.#store = usable(kind) ?? memory();
  }

  get(key) {
    try {
      return JSON.parse(this.#store.getItem(key));
    } catch {
      return null;
    }
  }

  set(key, value) {
    try {
      this.#store.setItem(key, JSON.stringify(value));
    } catch {
      // It is full: what is kept here makes a reload better, and nothing depends on it.
    }
  }

  remove(key) {
    this.#store.removeItem(key);
  }
}

function usable(kind) {
  const probe = "parlour probe";
  try {
    const store = globalThis[kind];
    store.setItem(probe, probe);
    const works = store.getItem(probe) === probe;
    store.removeItem(probe);
    return works ? store : null;
  } catch {
    return null;
  }
}

function memory() {
  const values = new Map();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => values.set(key, value),
    removeItem: (key) => values.delete(key),
  };
}
