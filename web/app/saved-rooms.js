/**
 * The rooms that a user has joined in this browser, with the user's read mark in each. The service keeps neither for
 * rooms, so they are kept in `localStorage`.
 */
export class SavedRooms {
  #key;

  constructor(userId) {
    this.#key = `parlour rooms ${userId}`;
  }

  /** Returns the names of the rooms. */
  names() {
    return Object.keys(this.#load());
  }

  /** Returns the read mark of a room, or undefined if the room is not saved. */
  readMark(name) {
    return this.#load()[name];
  }

  save(name, readMark) {
    this.#store({ ...this.#load(), [name]: readMark });
  }

  remove(name) {
    const rooms = this.#load();
    delete rooms[name];
    this.#store(rooms);
  }

  #load() {
    try {
      return JSON.parse(localStorage.getItem(this.#key)) ?? {};
    } catch {
      return {};
    }
  }

  #store(rooms) {
    try {
      localStorage.setItem(this.#key, JSON.stringify(rooms));
    } catch {
      // The browser denies its storage, or it is full: the rooms are forgotten when the tab closes.
    }
  }
}
