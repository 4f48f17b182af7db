/** What stands above a conversation: what it is, and what can be done with it. */

import { attempt, field, form, notice, openDialog, openMenu } from "./dialog.js";
import { atNextFrame, h, iconButton, name } from "./dom.js";
import { manageGroup } from "./groups.js";
import { block, usersOf } from "./people.js";
import { plural } from "./words.js";

/** `acts` has `back()`, `people()`, `openAt(time)` and `left()`. */
export class Header {
  #store;
  #id;
  #acts;
  #closing = new AbortController();
  #title = h("h2", { id: "conversation-title" });
  #about = h("p", { class: "hint" });

  constructor(store, id, acts) {
    [this.#store, this.#id, this.#acts] = [store, id, acts];
    const more = ({ currentTarget }) => openMenu(currentTarget, this.#entries());
    this.element = h(
      "header",
      { class: "bar" },
      iconButton("back", "Back to the list", acts.back, { class: "icon-button back" }),
      h("div", { class: "about" }, this.#title, this.#about),
      iconButton("calendar", "Go to a day", () => this.#toDay()),
      iconButton("group", "Who is here", acts.people, { "aria-controls": "people" }),
      iconButton("more", "More about this conversation", more, { "aria-haspopup": "menu", "aria-expanded": "false" }),
    );
    store.addEventListener(
      "change",
      atNextFrame(() => this.#draw()),
      { signal: this.#closing.signal },
    );
    this.#draw();
  }

  close() {
    this.#closing.abort();
  }

  get #conversation() {
    return this.#store.conversations.get(this.#id);
  }

  #draw() {
    const conversation = this.#conversation;
    if (!conversation || this.#closing.signal.aborted) return;
    const text = this.#text(conversation);
    if (this.#title.textContent !== conversation.title) this.#title.replaceChildren(name(conversation.title));
    if (this.#about.textContent !== text) this.#about.textContent = text;
  }

  #text({ type, user }) {
    const topic = this.#store.parlour.topics.get(this.#id);
    if (!topic) return "";
    if (type === "dm")
      return [...topic.presences.values()].some(({ user_id }) => user_id === user?.user_id) ? "here now" : "not here";
    const here = topic.truncated ? `${plural(topic.presenceCount, "connection")} here` : `${usersOf(topic).size} here`;
    const group = this.#store.groups.get(this.#id);
    return group ? `${plural(group.member_count, "member")} · ${here}` : here;
  }

  #entries() {
    const { type, user, title } = this.#conversation;
    const link = [
      "Copy a link to it",
      () => attempt(async () => (await navigator.clipboard.writeText(location.href), notice("Copied."))),
    ];
    if (type === "group")
      return [["About the group", () => manageGroup(this.#store, this.#id, { left: this.#acts.left })], link];
    if (type === "room")
      return [
        link,
        ["Leave the room", () => attempt(async () => (await this.#store.leave(this.#id), this.#acts.left()))],
      ];
    const blocked = this.#store.blocked.has(user?.user_id);
    return [
      blocked
        ? [`Unblock ${title}`, () => attempt(() => this.#store.block(user, false))]
        : [`Block ${title}…`, () => block(this.#store, user), true],
    ];
  }

  #toDay() {
    const input = h("input", { type: "date", name: "day", required: true, max: new Date().toISOString().slice(0, 10) });
    const go = async ({ day }) => {
      dialog.close();
      await this.#acts.openAt(new Date(`${day}T00:00`).toISOString());
    };
    const dialog = openDialog("Go to a day", form([field("Day", input)], "Go", go));
  }
}
