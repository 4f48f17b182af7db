/** Who is here, and who belongs to a group. */

import { attempt, confirm, openMenu } from "./dialog.js";
import { atNextFrame, avatar, h, iconButton, name, show } from "./dom.js";
import { isEnd, plural, roleName } from "./words.js";

/** Members that are read. */
const MEMBERS = 100;
const RANK = { superadmin: 0, admin: 1, member: 2 };

export class People {
  #store;
  #acts;
  #topic;
  #members = [];
  #closing = new AbortController();
  #count = h("h2", {});
  #list = h("ul", { class: "people-list" });
  #note = h("p", { class: "hint padded" });
  #draw = atNextFrame(() => this.#show());

  /** `acts` has `open(id)` and `close()`. */
  constructor(store, topic, acts) {
    [this.#store, this.#topic, this.#acts] = [store, topic, acts];
    this.element = h(
      "aside",
      { class: "people", "aria-label": "Who is here" },
      h("header", { class: "bar" }, this.#count, iconButton("close", "Close the list", acts.close)),
      this.#list,
      this.#note,
    );
    const { signal } = this.#closing;
    topic.addEventListener("presence", this.#draw, { signal });
    store.addEventListener("change", this.#draw, { signal });
    topic.addEventListener("message", ({ detail }) => detail.code !== 0 && !isEnd(detail, store.me) && this.#load(), {
      signal,
    });
    this.#load();
    this.#show();
  }

  close() {
    this.#closing.abort();
  }

  async #load() {
    if (this.#topic.type !== "group") return;
    try {
      const group = this.#topic.id.slice("group:".length);
      ({ members: this.#members } = await this.#store.parlour.call(
        "GET",
        `/v1/groups/${group}/members?limit=${MEMBERS}`,
      ));
    } catch {
      this.#members = [];
    }
    this.#draw();
  }

  #show() {
    if (this.#closing.signal.aborted) return;
    const here = usersOf(this.#topic);
    this.#count.textContent = this.#topic.truncated
      ? `${this.#topic.presenceCount} connections here`
      : `${here.size} here`;
    const rest = this.#members.filter(({ user }) => !here.has(user.user_id)).map(({ user }) => user);
    const users = [...[...here.values()].sort(byName), ...rest.sort(byName)];
    show(
      this.#list,
      users.map((user) => this.#row(user, here.get(user.user_id))),
    );
    this.#note.textContent = this.#topic.truncated ? "So many are here that only the first are listed." : "";
  }

  #row(user, present) {
    const role = this.#members.find((member) => member.user.user_id === user.user_id)?.role;
    const blocked = this.#store.blocked.has(user.user_id);
    const sessions = present?.sessions ?? 0;
    return {
      key: user.user_id,
      state: [user.username, sessions, role, blocked],
      make: () => this.#person(user, sessions, role, blocked),
    };
  }

  #person(user, sessions, role, blocked) {
    const me = user.user_id === this.#store.me;
    const facts = [
      me && "you",
      role && role !== "member" && roleName(role).toLowerCase(),
      sessions > 1 && plural(sessions, "device"),
      blocked && "blocked",
    ];
    const picture = avatar(user.user_id, user.username);
    if (sessions > 0) picture.append(h("span", { class: "dot" }));
    const open = ({ currentTarget }) => this.#menu(currentTarget, user, role, blocked);
    const inner = [
      picture,
      h(
        "span",
        { class: "about" },
        name(user.username, { class: "name title" }),
        h("span", { class: "last" }, facts.filter(Boolean).join(" · ")),
      ),
    ];
    const row = me
      ? h("div", { class: "person" }, inner)
      : h(
          "button",
          { type: "button", class: "person", "aria-haspopup": "menu", "aria-expanded": "false", onclick: open },
          inner,
        );
    return h("li", { data: { user: user.user_id }, class: sessions > 0 ? "present" : "away" }, row);
  }

  #menu(anchor, user, role, blocked) {
    openMenu(anchor, [
      ["Write a message", () => this.#acts.open(`dm:${user.user_id}`)],
      ...this.#ruling(user, role),
      blocked
        ? ["Unblock", () => attempt(() => this.#store.block(user, false))]
        : ["Block…", () => block(this.#store, user), true],
    ]);
  }

  /** What an admin can do with a member, by their roles. */
  #ruling(user, role) {
    const mine = this.#store.groups.get(this.#topic.id)?.role;
    if (this.#topic.type !== "group" || !role || !(RANK[mine] <= 1) || RANK[mine] > RANK[role]) return [];
    const act = (verb, path) =>
      attempt(() =>
        this.#store.parlour.call(
          verb,
          `/v1/groups/${this.#topic.id.slice("group:".length)}/members/${encodeURIComponent(user.user_id)}${path}`,
        ),
      ).then(() => this.#load());
    const sure = async (title, label, verb, path) =>
      (await confirm(title, "They lose this chat and its history at once.", label)) && act(verb, path);
    return [
      role === "member" && ["Make an admin", () => act("POST", "/promote")],
      role === "admin" && mine === "superadmin" && ["Make an owner", () => act("POST", "/promote")],
      role !== "member" && ["Take a role away", () => act("POST", "/demote")],
      ["Remove from the group…", () => sure(`Remove ${user.username}?`, "Remove", "DELETE", ""), true],
      ["Ban…", () => sure(`Ban ${user.username}?`, "Ban", "POST", "/ban"), true],
    ];
  }
}

/** Whoever is on a topic: each user once, with how many sessions they are there. */
export function usersOf(topic) {
  const users = new Map();
  for (const { user_id, username } of topic.presences.values()) {
    const sessions = (users.get(user_id)?.sessions ?? 0) + 1;
    users.set(user_id, { user_id, username, sessions });
  }
  return users;
}

/** Asks, then blocks. */
export async function block(store, user) {
  const text =
    "You will get no direct messages from each other. What was said stays readable, and rooms and groups are as before.";
  if (await confirm(`Block ${user.username}?`, text, "Block")) await attempt(() => store.block(user, true));
}

const byName = (one, other) => one.username.localeCompare(other.username);
