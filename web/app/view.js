/** The conversation that is open, with who is here beside it; and on a phone, which of the three is seen. */

import { Conversation, whyOver } from "./conversation.js";
import { attempt } from "./dialog.js";
import { h } from "./dom.js";
import { Header } from "./header.js";
import { emptyNote } from "./message.js";
import { People } from "./people.js";
import { inAddress } from "./sidebar.js";

/** Whether the list of who is here is open, kept over reloads. */
const PEOPLE = "parlour people";
/** Below this width only one of list, conversation and people is seen. */
const NARROW = matchMedia("(max-width: 760px)");

export class View {
  #store;
  #main = h("main", { tabindex: "-1" });
  #beside = h("div", { id: "people" });
  #open = null;
  #closing = new AbortController();
  /** Grows with each opening: an earlier one that is still joining is not wanted any more. */
  #turn = 0;

  constructor(store) {
    this.#store = store;
    this.element = h("div", { class: "view" }, this.#main, this.#beside);
    const { signal } = this.#closing;
    addEventListener("hashchange", () => this.#route(), { signal });
    addEventListener("beforeunload", (event) => this.#open?.conversation.sending && event.preventDefault(), { signal });
    store.addEventListener("open", ({ detail }) => this.#changed(detail), { signal });
    store.addEventListener("change", () => this.#redraw(), { signal });
  }

  /** Opens what stands in the address. */
  begin() {
    this.#route();
  }

  /** Opens a conversation; throws where it is refused. */
  async goTo(id) {
    if (!this.#store.parlour.topics.has(id)) await this.#store.join(id);
    const address = `#${inAddress(id)}`;
    if (location.hash === address) await this.#show(id);
    else location.hash = address;
  }

  close() {
    this.#closing.abort();
    this.#leave();
    this.#store.close();
  }

  #route() {
    const id = topicOf(location.hash);
    if (id) this.#show(id);
    else this.#nothing();
  }

  #nothing() {
    this.#leave();
    this.#see("list");
    this.#main.replaceChildren(emptyNote("group", "Pick a conversation, or begin one."));
  }

  async #show(id) {
    this.#turn += 1;
    const turn = this.#turn;
    this.#see("chat");
    // Whom one blocks oneself, there is no use in asking. Whether the other one still blocks, only asking tells.
    const before = this.#store.find(id);
    const refused = this.#store.blocked.has(before?.user?.user_id) && before.refusal;
    const error =
      refused ||
      (await this.#store.join(id).then(
        () => null,
        (refusal) => refusal,
      ));
    if (turn !== this.#turn || this.#closing.signal.aborted) return;
    const known = this.#store.find(id);
    const topic = known && (this.#store.parlour.topics.get(known.id) ?? this.#readable(known));
    if (topic) await this.#enter(known, topic);
    else this.#refused(error);
  }

  /** What may be read but not joined: direct messages, where one of the two blocks the other. */
  #readable(conversation) {
    return conversation.type === "dm"
      ? Object.assign(new EventTarget(), {
          id: conversation.id,
          parlour: this.#store.parlour,
          history: (query) => this.#store.parlour.history(conversation.id, query),
        })
      : null;
  }

  async #enter(known, topic) {
    this.#leave();
    this.#store.active = known.id;
    const header = new Header(this.#store, known.id, {
      back: () => (location.hash = ""),
      people: () => this.#togglePeople(),
      openAt: (time) => conversation.openAt(time),
      left: () => (location.hash = ""),
    });
    const conversation = new Conversation(this.#store, known, topic, header.element);
    const people = topic.presences
      ? new People(this.#store, topic, {
          open: (id) => attempt(() => this.goTo(id)),
          close: () => this.#togglePeople(false),
        })
      : null;
    this.#open = { conversation, header, people };
    if (known.type === "group") this.#store.loadGroup(known.id).catch(() => {});
    this.#main.replaceChildren(conversation.element);
    this.#beside.replaceChildren(...(people ? [people.element] : []));
    this.#togglePeople(!NARROW.matches && localStorage.getItem(PEOPLE) !== "closed");
    this.#title();
    if (known.refusal) this.#over(known, "blocked");
    conversation.composer.fit();
    if (!NARROW.matches) conversation.composer.focus();
    await conversation.open();
  }

  #refused(error) {
    this.#leave();
    this.#main.replaceChildren(
      emptyNote(
        "group",
        error?.status === 404
          ? "There is no such conversation, or it is not open to you."
          : (error?.message ?? "It cannot be opened."),
      ),
    );
  }

  /** A topic was joined or lost while it is looked at. */
  #changed({ id, reason }) {
    if (id !== this.#store.active || !this.#open) return;
    const known = this.#store.conversations.get(id);
    if (reason && known) this.#over(known, reason);
    else if (!reason && this.#open.over) this.#show(id);
  }

  #redraw() {
    const known = this.#store.conversations.get(this.#store.active);
    if (known && this.#open?.over) this.#over(known, this.#open.over.reason);
    this.#title();
  }

  /** Says that nothing more comes, why, and what helps. */
  #over(known, reason) {
    const blocked = known.user && this.#store.blocked.get(known.user.user_id);
    const { over, people, conversation } = this.#open;
    if (over?.reason === reason && over.blocked === blocked) return;
    this.#open.over = { reason, blocked };
    // Who is here can be seen no more.
    people?.close();
    this.#beside.replaceChildren();
    const button = (label, act) => h("button", { type: "button", onclick: act }, label);
    if (blocked)
      conversation.end(
        `You have blocked ${blocked.username}.`,
        button(`Unblock ${blocked.username}`, () => attempt(() => this.#store.block(blocked, false))),
      );
    else if (reason === "blocked")
      conversation.end(
        whyOver(reason),
        button("Try again", () => attempt(() => this.#store.join(known.id))),
      );
    else
      conversation.end(
        whyOver(reason),
        known.type === "room" ? button("Join again", () => this.#show(known.id)) : null,
      );
  }

  #leave() {
    if (!this.#open) return;
    const { conversation, header, people, over } = this.#open;
    const id = this.#store.active;
    [conversation, header, people].forEach((part) => part?.close());
    [this.#open, this.#store.active] = [null, null];
    // What is over was kept only as long as it was looked at.
    if (over && this.#store.conversations.get(id)?.type !== "dm") this.#store.forget(id);
    this.#beside.replaceChildren();
    this.#title();
  }

  #title() {
    const { unread } = this.#store;
    const title = this.#store.conversations.get(this.#store.active)?.title;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${title ? `${title} · ` : ""}Parlour`;
  }

  #togglePeople(open = this.element.dataset.people !== "open") {
    this.element.dataset.people = open ? "open" : "closed";
    if (!NARROW.matches) localStorage.setItem(PEOPLE, open ? "open" : "closed");
    this.element.querySelector("[aria-controls=people]")?.setAttribute("aria-expanded", String(open));
  }

  #see(what) {
    document.documentElement.dataset.view = what;
  }
}

function topicOf(hash) {
  try {
    const id = decodeURIComponent(hash.slice(1));
    return /^(room|group|dm):./su.test(id) ? id : null;
  } catch {
    return null;
  }
}
