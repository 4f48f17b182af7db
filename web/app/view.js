/**
 * The open conversation with the list of people beside it. It follows the fragment of the page's URL. On a narrow
 * screen, only one of the list of conversations, the conversation and the people is visible.
 */

import { Conversation } from "./conversation.js";
import { attempt } from "./dialog.js";
import { h } from "./dom.js";
import { Header } from "./header.js";
import { emptyNote } from "./message.js";
import { People } from "./people.js";
import { topicFragment } from "./sidebar.js";
import { leftText } from "./text.js";

/** The key in `localStorage` for whether the list of people is open. */
const PEOPLE_KEY = "parlour people";
const NARROW = matchMedia("(max-width: 760px)");

export class View {
  #store;
  #main = h("main", { tabindex: "-1" });
  #peopleColumn = h("div", { id: "people" });
  /** The parts of the open conversation: `{ conversation, header, people, end }`, or null. */
  #open = null;
  #closed = new AbortController();
  /** Grows with each opening. An opening that is still joining is dropped when a later one has started. */
  #showCount = 0;

  constructor(store) {
    this.#store = store;
    this.element = h("div", { class: "view" }, this.#main, this.#peopleColumn);
    const { signal } = this.#closed;
    const onBeforeUnload = (event) => {
      if (this.#open?.conversation.isSending) event.preventDefault();
    };
    addEventListener("hashchange", () => this.#followFragment(), { signal });
    addEventListener("beforeunload", onBeforeUnload, { signal });
    store.addEventListener("topic", ({ detail }) => this.#handleTopic(detail), { signal });
    store.addEventListener("change", () => this.#handleChange(), { signal });
  }

  /** Opens the conversation that the URL names. */
  begin() {
    this.#followFragment();
  }

  /** Opens a conversation; throws if it is refused. */
  async goTo(id) {
    if (!this.#store.parlour.topics.has(id)) await this.#store.join(id);
    const fragment = `#${topicFragment(id)}`;
    if (location.hash === fragment) await this.#show(id);
    else location.hash = fragment;
  }

  close() {
    this.#closed.abort();
    this.#closeConversation();
    this.#store.close();
  }

  #followFragment() {
    const id = topicOf(location.hash);
    if (id) this.#show(id);
    else this.#showNothing();
  }

  #showNothing() {
    this.#closeConversation();
    this.#setVisiblePart("list");
    this.#main.replaceChildren(emptyNote("group", "Pick a conversation, or begin one."));
  }

  async #show(id) {
    this.#showCount += 1;
    const showCount = this.#showCount;
    this.#setVisiblePart("chat");
    const error = await this.#join(id);
    if (showCount !== this.#showCount || this.#closed.signal.aborted) return;
    const conversation = this.#store.find(id);
    const topic =
      conversation && (this.#store.parlour.topics.get(conversation.id) ?? this.#readOnlyTopic(conversation));
    if (topic) await this.#openConversation(conversation, topic);
    else this.#showRefusal(error);
  }

  /** Joins a topic. Returns the error if it is refused, otherwise null. */
  async #join(id) {
    const conversation = this.#store.find(id);
    // If the user has blocked the other one, a join is refused for certain. A block by the other one may have been
    // lifted.
    if (this.#store.blocked.has(conversation?.user?.user_id) && conversation.refusal) return conversation.refusal;
    try {
      await this.#store.join(id);
      return null;
    } catch (refusal) {
      return refusal;
    }
  }

  /** Returns a topic that can be read but not joined: a direct message while one of the two users blocks the other. */
  #readOnlyTopic({ id, type }) {
    if (type !== "dm") return null;
    const { parlour } = this.#store;
    return Object.assign(new EventTarget(), { id, parlour, history: (query) => parlour.history(id, query) });
  }

  async #openConversation(record, topic) {
    this.#closeConversation();
    this.#store.active = record.id;
    const header = new Header(this.#store, record.id, {
      back: clearFragment,
      togglePeople: () => this.#togglePeople(),
      openAt: (time) => conversation.openAt(time),
      onLeft: clearFragment,
    });
    const conversation = new Conversation(this.#store, record, topic, header.element);
    const people = topic.presences ? this.#newPeople(topic) : null;
    this.#open = { conversation, header, people, end: null };
    if (record.type === "group") this.#store.loadGroup(record.id).catch(() => {});
    this.#main.replaceChildren(conversation.element);
    this.#peopleColumn.replaceChildren(...(people ? [people.element] : []));
    this.#togglePeople(!NARROW.matches && localStorage.getItem(PEOPLE_KEY) !== "closed");
    this.#setTitle();
    if (record.refusal) this.#endConversation(record, "blocked");
    conversation.composer.fit();
    if (!NARROW.matches) conversation.composer.focus();
    await conversation.open();
  }

  #newPeople(topic) {
    return new People(this.#store, topic, {
      open: (id) => attempt(() => this.goTo(id)),
      close: () => this.#togglePeople(false),
    });
  }

  #showRefusal(error) {
    this.#closeConversation();
    this.#main.replaceChildren(emptyNote("group", refusalText(error)));
  }

  /** The topic of the open conversation may have been joined or left. */
  #handleTopic({ id, reason }) {
    if (id !== this.#store.active || !this.#open) return;
    const conversation = this.#store.conversations.get(id);
    if (reason && conversation) this.#endConversation(conversation, reason);
    else if (!reason && this.#open.end) this.#show(id);
  }

  #handleChange() {
    const conversation = this.#store.conversations.get(this.#store.active);
    if (conversation && this.#open?.end) this.#endConversation(conversation, this.#open.end.reason);
    this.#setTitle();
  }

  /** Shows in the open conversation why no more messages come, with a button that may help. */
  #endConversation(record, reason) {
    const blocked = record.user && this.#store.blocked.get(record.user.user_id);
    const { end, people, conversation } = this.#open;
    if (end?.reason === reason && end.blocked === blocked) return;
    this.#open.end = { reason, blocked };
    // The presences of a topic that is not joined are no longer updated.
    people?.close();
    this.#peopleColumn.replaceChildren();
    const text = blocked ? `You have blocked ${blocked.username}.` : leftText(reason);
    conversation.end(text, this.#remedy(record, reason, blocked));
  }

  /** Returns the button that may help after a conversation has ended, or null. */
  #remedy(record, reason, blocked) {
    const button = (label, onclick) => h("button", { type: "button", onclick }, label);
    if (blocked) {
      const unblock = () => attempt(() => this.#store.setBlocked(blocked, false));
      return button(`Unblock ${blocked.username}`, unblock);
    }
    if (reason === "blocked") return button("Try again", () => attempt(() => this.#store.join(record.id)));
    return record.type === "room" ? button("Join again", () => this.#show(record.id)) : null;
  }

  #closeConversation() {
    if (!this.#open) return;
    const { conversation, header, people, end } = this.#open;
    const id = this.#store.active;
    conversation.close();
    header.close();
    people?.close();
    this.#open = null;
    this.#store.active = null;
    // A topic that was left stays in the list only while its conversation is open.
    if (end && this.#store.conversations.get(id)?.type !== "dm") this.#store.forget(id);
    this.#peopleColumn.replaceChildren();
    this.#setTitle();
  }

  #setTitle() {
    const { unread } = this.#store;
    const title = this.#store.conversations.get(this.#store.active)?.title;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${title ? `${title} · ` : ""}Parlour`;
  }

  #togglePeople(open = this.element.dataset.people !== "open") {
    this.element.dataset.people = open ? "open" : "closed";
    if (!NARROW.matches) localStorage.setItem(PEOPLE_KEY, open ? "open" : "closed");
    this.element.querySelector("[aria-controls=people]")?.setAttribute("aria-expanded", String(open));
  }

  /** Sets the part that is visible on a narrow screen: `list` or `chat`. */
  #setVisiblePart(part) {
    document.documentElement.dataset.view = part;
  }
}

function clearFragment() {
  location.hash = "";
}

function refusalText(error) {
  if (error?.status === 404) return "There is no such conversation, or it is not open to you.";
  return error?.message ?? "It cannot be opened.";
}

/** Returns the topic id in a fragment, or null if there is none. */
function topicOf(fragment) {
  try {
    const id = decodeURIComponent(fragment.slice(1));
    return /^(room|group|dm):./su.test(id) ? id : null;
  } catch {
    return null;
  }
}
