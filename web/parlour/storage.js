/** JSON values in the browser's storage, or in memory where there is none (Node) or the browser denies it. */

export class BrowserStorage {
  #items;

  /**
   * `kind` is `localStorage`, which all tabs share, or `sessionStorage`, which one tab has and which survives reloads.
   */
  constructor(kind) {
    this.#items = usable(kind) ?? inMemory();
  }

  /** Returns the value, or null if there is none. */
  get(key) {
    try {
      return JSON.parse(this.#items.getItem(key));
    } catch {
      return null;
    }
  }

  set(key, value) {
    try {
      this.#items.setItem(key, JSON.stringify(value));
    } catch {
      // The storage is full. What is stored here makes a reload smoother; nothing depends on it.
    }
  }

  remove(key) {
    this.#items.removeItem(key);
  }
}

/** Returns the browser's storage, or null if it cannot be written to. */
function usable(kind) {
  const probe = "parlour probe";
  try {
    const items = globalThis[kind];
    items.setItem(probe, probe);
    const works = items.getItem(probe) === probe;
    items.removeItem(probe);
    return works ? items : null;
  } catch {
    return null;
  }
}

function inMemory() {
  const values = new Map();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => values.set(key, value),
    removeItem: (key) => values.delete(key),
  };
}
