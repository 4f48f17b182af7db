/** The header of a conversation: its title, who is here, and its menu. */

import { attempt, field, form, notice, openDialog, openMenu } from "./dialog.js";
import { atNextFrame, h, iconButton, nameElement } from "./dom.js";
import { manageGroup } from "./groups.js";
import { confirmBlock, usersOf } from "./people.js";
import { plural } from "./text.js";

export class Header {
  #store;
  #id;
  #actions;
  #closed = new AbortController();
  #title = h("h2", { id: "conversation-title" });
  #about = h("p", { class: "hint" });

  /** `actions` has `back()`, `togglePeople()`, `openAt(time)` and `onLeft()`. */
  constructor(store, id, actions) {
    this.#store = store;
    this.#id = id;
    this.#actions = actions;
    const openMore = ({ currentTarget }) => openMenu(currentTarget, this.#menuEntries());
    this.element = h(
      "header",
      { class: "bar" },
      iconButton("back", "Back to the list", actions.back, { class: "icon-button back" }),
      h("div", { class: "about" }, this.#title, this.#about),
      iconButton("calendar", "Go to a day", () => this.#openDayDialog()),
      iconButton("group", "Who is here", actions.togglePeople, { "aria-controls": "people" }),
      iconButton("more", "More about this conversation", openMore, {
        "aria-haspopup": "menu",
        "aria-expanded": "false",
      }),
    );
    store.addEventListener(
      "change",
      atNextFrame(() => this.#draw()),
      { signal: this.#closed.signal },
    );
    this.#draw();
  }

  close() {
    this.#closed.abort();
  }

  get #conversation() {
    return this.#store.conversations.get(this.#id);
  }

  #draw() {
    const conversation = this.#conversation;
    if (!conversation || this.#closed.signal.aborted) return;
    const text = this.#aboutText(conversation);
    if (this.#title.textContent !== conversation.title) this.#title.replaceChildren(nameElement(conversation.title));
    if (this.#about.textContent !== text) this.#about.textContent = text;
  }

  #aboutText({ type, user }) {
    const topic = this.#store.parlour.topics.get(this.#id);
    if (!topic) return "";
    if (type === "dm") {
      const isHere = [...topic.presences.values()].some(({ user_id }) => user_id === user?.user_id);
      return isHere ? "here now" : "not here";
    }
    const here = topic.truncated ? `${plural(topic.presenceCount, "connection")} here` : `${usersOf(topic).size} here`;
    const group = this.#store.groups.get(this.#id);
    return group ? `${plural(group.member_count, "member")} · ${here}` : here;
  }

  #menuEntries() {
    const { type, user, title } = this.#conversation;
    const copyLink = ["Copy a link to it", () => attempt(() => this.#copyLink())];
    if (type === "group") {
      return [["About the group", () => manageGroup(this.#store, this.#id, this.#actions.onLeft)], copyLink];
    }
    if (type === "room") return [copyLink, ["Leave the room", () => attempt(() => this.#leaveRoom())]];
    if (this.#store.blocked.has(user?.user_id)) {
      return [[`Unblock ${title}`, () => attempt(() => this.#store.setBlocked(user, false))]];
    }
    return [[`Block ${title}…`, () => confirmBlock(this.#store, user), true]];
  }

  async #copyLink() {
    await navigator.clipboard.writeText(location.href);
    notice("Copied.");
  }

  async #leaveRoom() {
    await this.#store.leave(this.#id);
    this.#actions.onLeft();
  }

  #openDayDialog() {
    const input = h("input", { type: "date", name: "day", required: true, max: new Date().toISOString().slice(0, 10) });
    const go = async ({ day }) => {
      dialog.close();
      await this.#actions.openAt(new Date(`${day}T00:00`).toISOString());
    };
    const dialog = openDialog("Go to a day", form([field("Day", input)], "Go", go));
  }
}
