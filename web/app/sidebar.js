/** The list of conversations. */

import { atNextFrame, avatar, h, icon, iconButton, name, show } from "./dom.js";
import { lastLine } from "./store.js";
import { when } from "./words.js";

export class Sidebar {
  #store;
  #acts;
  #rooms = h("ul", { class: "list" });
  #people = h("ul", { class: "list" });
  /** Users who are here now. */
  #here = new Set();
  #me = h("button", { type: "button", class: "me" });
  #nothing = h(
    "p",
    { class: "hint padded" },
    "No messages yet. Start a group, or write to somebody from the list of who is here.",
  );

  /** `acts` has `open(id)`, `account()`, and `add(anchor)`. */
  constructor(store, acts) {
    [this.#store, this.#acts] = [store, acts];
    this.#me.addEventListener("click", acts.account);
    const add = ({ currentTarget }) => acts.add(currentTarget);
    this.element = h(
      "nav",
      { class: "sidebar", "aria-label": "Conversations" },
      h(
        "header",
        { class: "bar" },
        h("h1", {}, "Parlour"),
        iconButton("add", "New conversation", add, { "aria-haspopup": "menu", "aria-expanded": "false" }),
      ),
      h(
        "div",
        { class: "lists" },
        h("h2", { id: "rooms" }, "Rooms"),
        this.#rooms,
        h("h2", { id: "direct" }, "Messages"),
        this.#people,
        this.#nothing,
      ),
      this.#me,
    );
    this.#rooms.setAttribute("aria-labelledby", "rooms");
    this.#people.setAttribute("aria-labelledby", "direct");
    store.addEventListener(
      "change",
      atNextFrame(() => this.draw()),
    );
    this.draw();
  }

  draw() {
    // By what can be seen in all topics.
    const sessions = [...this.#store.parlour.topics.values()].flatMap((topic) => [...topic.presences.values()]);
    this.#here = new Set(sessions.map(({ user_id }) => user_id));
    const all = [...this.#store.conversations.values()];
    const rooms = all.filter(({ type }) => type === "room").sort((one, other) => one.title.localeCompare(other.title));
    const people = all.filter(({ type }) => type !== "room").sort(latestFirst);
    show(
      this.#rooms,
      rooms.map((conversation) => this.#row(conversation)),
    );
    show(
      this.#people,
      people.map((conversation) => this.#row(conversation)),
    );
    this.#nothing.hidden = people.length > 0;
    const { user } = this.#store.parlour;
    if (user)
      this.#me.replaceChildren(
        avatar(user.user_id, user.username),
        name(user.username),
        h("span", { class: "hint" }, "Account"),
      );
  }

  #row(conversation) {
    const { id, title, unread, last, user } = conversation;
    const active = id === this.#store.active;
    const here = this.#here.has(user?.user_id);
    return {
      key: id,
      state: [title, unread, last, active, here, user],
      make: () => this.#entry(conversation, active, here),
    };
  }

  #entry({ id, type, title, unread, last, user }, active, here) {
    const picture = user
      ? avatar(user.user_id, title)
      : h("span", { class: `avatar of-${type}`, "aria-hidden": "true" }, icon(type));
    if (here) picture.append(h("span", { class: "dot" }));
    const link = h(
      "a",
      {
        href: `#${inAddress(id)}`,
        "aria-current": active ? "page" : null,
        data: { topic: id },
        class: unread > 0 ? "unread" : null,
      },
      picture,
      h(
        "span",
        { class: "about" },
        h("span", { class: "title" }, name(title), here ? h("span", { class: "unseen" }, ", here now") : null),
        h("span", { class: "last" }, h("bdi", {}, lastLine({ last }, this.#store.me))),
      ),
      h(
        "span",
        { class: "side" },
        last ? h("time", { datetime: last.created_at }, when(last.created_at)) : null,
        unread > 0
          ? h(
              "span",
              { class: "badge" },
              unread > 99 ? "99+" : String(unread),
              h("span", { class: "unseen" }, " unread"),
            )
          : null,
      ),
    );
    return h("li", {}, link);
  }
}

const latestFirst = (one, other) =>
  (other.last?.created_at ?? "").localeCompare(one.last?.created_at ?? "") || one.title.localeCompare(other.title);

/** A topic in the page's address, as readable as can be. */
export const inAddress = (id) => encodeURIComponent(id).replace(/%3A/g, ":").replace(/%40/g, "@");
