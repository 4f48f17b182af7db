/** The list of the users who are here and of the members of a group. */

import { attempt, confirm, openMenu } from "./dialog.js";
import { atNextFrame, avatar, h, iconButton, nameElement, updateRows } from "./dom.js";
import { endsAccess, plural, roleName } from "./text.js";

/** The number of members that are read. */
const MAX_MEMBERS = 100;
/** The lower rank may act on the same and on higher ones. */
const RANK = { superadmin: 0, admin: 1, member: 2 };

export class People {
  #store;
  #actions;
  #topic;
  #members = [];
  #closed = new AbortController();
  #heading = h("h2", {});
  #list = h("ul", { class: "people-list" });
  #note = h("p", { class: "hint padded" });
  #drawAtNextFrame = atNextFrame(() => this.#draw());

  /** `actions` has `open(id)` and `close()`. */
  constructor(store, topic, actions) {
    this.#store = store;
    this.#topic = topic;
    this.#actions = actions;
    this.element = h(
      "aside",
      { class: "people", "aria-label": "Who is here" },
      h("header", { class: "bar" }, this.#heading, iconButton("close", "Close the list", actions.close)),
      this.#list,
      this.#note,
    );
    const { signal } = this.#closed;
    topic.addEventListener("presence", this.#drawAtNextFrame, { signal });
    store.addEventListener("change", this.#drawAtNextFrame, { signal });
    const onMessage = ({ detail }) => {
      // An event of the group may have changed its members.
      if (detail.code !== 0 && !endsAccess(detail, store.me)) this.#loadMembers();
    };
    topic.addEventListener("message", onMessage, { signal });
    this.#loadMembers();
    this.#draw();
  }

  get #groupPath() {
    return `/v1/groups/${this.#topic.id.slice("group:".length)}`;
  }

  close() {
    this.#closed.abort();
  }

  async #loadMembers() {
    if (this.#topic.type !== "group") return;
    try {
      const path = `${this.#groupPath}/members?limit=${MAX_MEMBERS}`;
      const { members } = await this.#store.parlour.call("GET", path);
      this.#members = members;
    } catch {
      this.#members = [];
    }
    this.#drawAtNextFrame();
  }

  #draw() {
    if (this.#closed.signal.aborted) return;
    const { truncated, presenceCount } = this.#topic;
    const here = usersOf(this.#topic);
    this.#heading.textContent = truncated ? `${presenceCount} connections here` : `${here.size} here`;
    const away = this.#members.filter(({ user }) => !here.has(user.user_id)).map(({ user }) => user);
    const users = [...[...here.values()].sort(byName), ...away.sort(byName)];
    const rows = users.map((user) => this.#row(user, here.get(user.user_id)));
    updateRows(this.#list, rows);
    this.#note.textContent = truncated ? "So many are here that only the first are listed." : "";
  }

  #row(user, present) {
    const role = this.#members.find((member) => member.user.user_id === user.user_id)?.role;
    const blocked = this.#store.blocked.has(user.user_id);
    const sessions = present?.sessions ?? 0;
    return {
      key: user.user_id,
      state: [user.username, sessions, role, blocked],
      make: () => this.#item(user, sessions, role, blocked),
    };
  }

  #item(user, sessions, role, blocked) {
    const isMe = user.user_id === this.#store.me;
    const facts = [
      isMe && "you",
      role && role !== "member" && roleName(role).toLowerCase(),
      sessions > 1 && plural(sessions, "device"),
      blocked && "blocked",
    ];
    const picture = avatar(user.user_id, user.username);
    if (sessions > 0) picture.append(h("span", { class: "dot" }));
    const about = h(
      "span",
      { class: "about" },
      nameElement(user.username, { class: "name title" }),
      h("span", { class: "last" }, facts.filter(Boolean).join(" · ")),
    );
    const onclick = ({ currentTarget }) => this.#openMenu(currentTarget, user, role, blocked);
    const menuAttributes = { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", onclick };
    const person = isMe
      ? h("div", { class: "person" }, picture, about)
      : h("button", { class: "person", ...menuAttributes }, picture, about);
    return h("li", { data: { user: user.user_id }, class: sessions > 0 ? "present" : "away" }, person);
  }

  #openMenu(anchor, user, role, blocked) {
    const unblock = ["Unblock", () => attempt(() => this.#store.setBlocked(user, false))];
    const block = ["Block…", () => confirmBlock(this.#store, user), true];
    openMenu(anchor, [
      ["Write a message", () => this.#actions.open(`dm:${user.user_id}`)],
      ...this.#adminEntries(user, role),
      blocked ? unblock : block,
    ]);
  }

  /** Returns the menu entries of an admin for a member, which depend on the roles of both. */
  #adminEntries(user, role) {
    const myRole = this.#store.groups.get(this.#topic.id)?.role;
    const mayAct = RANK[myRole] <= RANK.admin && RANK[myRole] <= RANK[role];
    if (this.#topic.type !== "group" || !mayAct) return [];
    const act = async (method, action) => {
      const path = `${this.#groupPath}/members/${encodeURIComponent(user.user_id)}${action}`;
      await attempt(() => this.#store.parlour.call(method, path));
      await this.#loadMembers();
    };
    const confirmAndAct = async (title, label, method, action) => {
      const text = "They lose this chat and its history at once.";
      if (await confirm(title, text, label)) await act(method, action);
    };
    return [
      role === "member" && ["Make an admin", () => act("POST", "/promote")],
      role === "admin" && myRole === "superadmin" && ["Make an owner", () => act("POST", "/promote")],
      role !== "member" && ["Take a role away", () => act("POST", "/demote")],
      ["Remove from the group…", () => confirmAndAct(`Remove ${user.username}?`, "Remove", "DELETE", ""), true],
      ["Ban…", () => confirmAndAct(`Ban ${user.username}?`, "Ban", "POST", "/ban"), true],
    ];
  }
}

/**
 * Returns the users who are on a topic, by id: `{ user_id, username, sessions }`, with the number of their sessions.
 */
export function usersOf(topic) {
  const users = new Map();
  for (const { user_id, username } of topic.presences.values()) {
    const sessions = (users.get(user_id)?.sessions ?? 0) + 1;
    users.set(user_id, { user_id, username, sessions });
  }
  return users;
}

/** Blocks a user after a confirmation. */
export async function confirmBlock(store, user) {
  const text =
    "You will get no direct messages from each other. What was said stays readable, and rooms and groups are as before.";
  if (await confirm(`Block ${user.username}?`, text, "Block")) await attempt(() => store.setBlocked(user, true));
}

const byName = (one, other) => one.username.localeCompare(other.username);
