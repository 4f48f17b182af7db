/** The list of conversations. */

import { atNextFrame, avatar, h, icon, iconButton, nameElement, updateRows } from "./dom.js";
import { lastLine, shortTimeText } from "./text.js";

export class Sidebar {
  #store;
  #roomList = h("ul", { class: "list" });
  /** Groups and direct messages. */
  #messageList = h("ul", { class: "list" });
  /** The ids of the users who are present on any joined topic. */
  #onlineUsers = new Set();
  #accountButton = h("button", { type: "button", class: "me" });
  #emptyHint = h(
    "p",
    { class: "hint padded" },
    "No messages yet. Start a group, or write to somebody from the list of who is here.",
  );

  /** `actions` has `openAccount()` and `openAddMenu(anchor)`. */
  constructor(store, actions) {
    this.#store = store;
    this.#accountButton.addEventListener("click", actions.openAccount);
    const openAddMenu = ({ currentTarget }) => actions.openAddMenu(currentTarget);
    this.element = h(
      "nav",
      { class: "sidebar", "aria-label": "Conversations" },
      h(
        "header",
        { class: "bar" },
        h("h1", {}, "Parlour"),
        iconButton("add", "New conversation", openAddMenu, { "aria-haspopup": "menu", "aria-expanded": "false" }),
      ),
      h(
        "div",
        { class: "lists" },
        h("h2", { id: "rooms" }, "Rooms"),
        this.#roomList,
        h("h2", { id: "direct" }, "Messages"),
        this.#messageList,
        this.#emptyHint,
      ),
      this.#accountButton,
    );
    this.#roomList.setAttribute("aria-labelledby", "rooms");
    this.#messageList.setAttribute("aria-labelledby", "direct");
    store.addEventListener(
      "change",
      atNextFrame(() => this.#draw()),
    );
    this.#draw();
  }

  #draw() {
    const topics = [...this.#store.parlour.topics.values()];
    const presences = topics.flatMap((topic) => [...topic.presences.values()]);
    this.#onlineUsers = new Set(presences.map(({ user_id }) => user_id));
    const conversations = [...this.#store.conversations.values()];
    const rooms = conversations.filter(({ type }) => type === "room").sort(byTitle);
    const others = conversations.filter(({ type }) => type !== "room").sort(latestFirst);
    const rows = (list) => list.map((conversation) => this.#row(conversation));
    updateRows(this.#roomList, rows(rooms));
    updateRows(this.#messageList, rows(others));
    this.#emptyHint.hidden = others.length > 0;
    this.#drawAccountButton();
  }

  #drawAccountButton() {
    const { user } = this.#store.parlour;
    if (!user) return;
    const picture = avatar(user.user_id, user.username);
    const label = h("span", { class: "hint" }, "Account");
    this.#accountButton.replaceChildren(picture, nameElement(user.username), label);
  }

  #row(conversation) {
    const { id, title, unread, last, user } = conversation;
    const active = id === this.#store.active;
    const online = this.#onlineUsers.has(user?.user_id);
    return {
      key: id,
      state: [title, unread, last, active, online, user],
      make: () => this.#item(conversation, active, online),
    };
  }

  #item({ id, type, title, unread, last, user }, active, online) {
    const picture = user
      ? avatar(user.user_id, title)
      : h("span", { class: `avatar of-${type}`, "aria-hidden": "true" }, icon(type));
    if (online) picture.append(h("span", { class: "dot" }));
    const link = h(
      "a",
      {
        href: `#${topicFragment(id)}`,
        "aria-current": active ? "page" : null,
        data: { topic: id },
        class: unread > 0 ? "unread" : null,
      },
      picture,
      h(
        "span",
        { class: "about" },
        h("span", { class: "title" }, nameElement(title), online ? h("span", { class: "unseen" }, ", here now") : null),
        h("span", { class: "last" }, h("bdi", {}, lastLine({ last }, this.#store.me))),
      ),
      h(
        "span",
        { class: "side" },
        last ? h("time", { datetime: last.created_at }, shortTimeText(last.created_at)) : null,
        unread > 0 ? badge(unread) : null,
      ),
    );
    return h("li", {}, link);
  }
}

const badge = (unread) =>
  h("span", { class: "badge" }, unread > 99 ? "99+" : String(unread), h("span", { class: "unseen" }, " unread"));

const byTitle = (one, other) => one.title.localeCompare(other.title);

const latestFirst = (one, other) =>
  (other.last?.created_at ?? "").localeCompare(one.last?.created_at ?? "") || byTitle(one, other);

/** Returns a topic id for the fragment of the page's URL. `:` and `@` stay as they are, because they are readable. */
export const topicFragment = (id) => encodeURIComponent(id).replace(/%3A/g, ":").replace(/%40/g, "@");
