/** A conversation: its messages, what arrives, and the way through its history. */

import { Timeline } from "/parlour.js";
import { Composer } from "./composer.js";
import { attempt, confirm, openMenu } from "./dialog.js";
import { atNextFrame, h, icon, show } from "./dom.js";
import { emptyNote, eventRow, lineRow, messageRow, pendingRow, spoken } from "./message.js";
import { day, dayOf, LEFT, plural, textOf, typing } from "./words.js";

/** How near an end, in pixels, the next page is read; and how near the bottom counts as there. */
const [NEAR_END, AT_BOTTOM] = [800, 48];
/** A pause after which the same sender begins anew, in milliseconds; and how long typing is shown. */
const [PAUSE, TYPING] = [5 * 60_000, 5_000];

export class Conversation {
  #store;
  #topic;
  #timeline;
  #over = null;
  /** What had been read when it was opened: behind it, it is new. */
  #read;
  #typing = new Map();
  #closing = new AbortController();
  #bottom = true;
  #scroll;
  #jump;
  #typingLine;
  #foot;
  #render = atNextFrame(() => this.#draw());

  /** `topic` is a joined topic, or what can be read of one that is not. */
  constructor(store, conversation, topic, actions) {
    [this.#store, this.#topic] = [store, topic];
    this.id = conversation.id;
    this.#read = conversation.unread > 0 ? conversation.read : Infinity;
    this.#timeline = new Timeline(topic);
    this.list = h("ol", { class: "messages" });
    this.#scroll = h(
      "div",
      {
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": `Messages in ${conversation.title}`,
        onscroll: () => this.#scrolled(),
      },
      this.list,
    );
    this.#jump = h(
      "button",
      { type: "button", class: "jump", hidden: true, onclick: () => this.toNewest() },
      icon("down"),
      h("span", {}),
    );
    this.#typingLine = h("p", { class: "typing", "aria-live": "polite" });
    this.composer = new Composer(this.id, conversation.title, this.#writing());
    this.#foot = h("footer", {}, this.#typingLine, this.composer.element);
    this.element = h(
      "section",
      { class: "conversation" },
      actions,
      h("div", { class: "log" }, this.#scroll, this.#jump),
      this.#foot,
    );
    this.#listen();
  }

  async open() {
    await attempt(() => this.#timeline.open());
    this.#render();
  }

  /** Begins at a time of the past. */
  async openAt(time) {
    this.#bottom = false;
    await attempt(() => this.#timeline.open({ time }));
    this.#draw();
    this.#scroll.scrollTop = 0;
    // Where it begins stands at the top, what was before it above.
    const target = this.#timeline.messages.find(({ created_at }) => created_at >= time);
    this.list.querySelector(`[data-seq="${target?.seq}"]`)?.scrollIntoView({ block: "start" });
  }

  async toNewest() {
    this.#bottom = true;
    if (!this.#timeline.atEnd) await attempt(() => this.#timeline.open());
    this.#draw();
    this.composer.focus();
  }

  /** Whether something is still on its way. */
  get sending() {
    return this.#timeline.pending.some(({ state }) => state === "sending");
  }

  /** It is over, or cannot be written to: the note says why, and `remedy` may help. */
  end(reason, remedy = null) {
    this.#over = reason;
    this.#foot.replaceChildren(h("div", { class: "over" }, h("p", {}, reason), remedy));
  }

  /** Marks as read what is seen. */
  look() {
    if (this.#bottom && this.#timeline.atEnd && document.visibilityState === "visible") this.#store.seen(this.id);
  }

  close() {
    this.#closing.abort();
    this.#timeline.close();
  }

  #listen() {
    const { signal } = this.#closing;
    this.#timeline.addEventListener("change", this.#render, { signal });
    this.#topic.addEventListener("typing", ({ detail }) => this.#typed(detail), { signal });
    this.#topic.addEventListener("message", ({ detail }) => this.#arrived(detail), { signal });
    document.addEventListener("visibilitychange", () => this.look(), { signal });
    // The keyboard of a phone takes room: what was seen at the bottom stays there.
    const sized = new ResizeObserver(() => this.#bottom && this.#toBottom());
    sized.observe(this.#scroll);
    signal.addEventListener("abort", () => sized.disconnect());
  }

  #writing() {
    return {
      send: (text) => {
        this.#bottom = true;
        this.#timeline.send({ text });
      },
      edit: (message, text) => attempt(() => this.#topic.edit(message.id, { text })),
      editLast: () => {
        const last = this.#timeline.messages.findLast((message) => this.#isMine(message) && this.#editable(message));
        if (last) this.composer.edit(last, textOf(last.content));
        return Boolean(last);
      },
      typing: () => this.#topic.typing().catch(() => {}),
    };
  }

  #arrived(message) {
    this.#typing.delete(message.sender.user_id);
    this.#tellTyping();
    if (message.sender.user_id === this.#store.me) return;
    const announcer = document.getElementById("announcer");
    announcer.append(h("p", {}, spoken(message, this.#store.me)));
    while (announcer.children.length > 5) announcer.firstChild.remove();
  }

  // Drawing

  #draw() {
    if (this.#closing.signal.aborted) return;
    const anchor = this.#bottom ? null : this.#anchor();
    show(this.list, this.#rows());
    this.#scroll.classList.toggle("nothing", this.list.children.length === 0);
    if (this.#bottom && this.#timeline.atEnd) this.#toBottom();
    else this.#hold(anchor);
    this.#showJump();
    this.look();
    this.#more();
  }

  /** The first message in sight, and where it stands: it stays there, whatever is shown above. */
  #anchor() {
    const top = this.#scroll.getBoundingClientRect().top;
    const element = [...this.list.children].find((row) => row.dataset.seq && row.getBoundingClientRect().bottom > top);
    return element && { seq: element.dataset.seq, top: element.getBoundingClientRect().top };
  }

  #hold(anchor) {
    const element = anchor && this.list.querySelector(`[data-seq="${anchor.seq}"]`);
    if (element) this.#scroll.scrollTop += element.getBoundingClientRect().top - anchor.top;
  }

  #toBottom() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #rows() {
    const { messages, pending, gaps, atStart, atEnd } = this.#timeline;
    const rows = [];
    let before = null;
    let isNew = false;
    if (!atStart && messages.length > 0)
      rows.push({ key: "earlier", state: [], make: () => lineRow("earlier", "Loading earlier messages…") });
    for (const message of messages) {
      for (const gap of gaps.filter(({ to_seq }) => to_seq < message.seq && to_seq > (before?.seq ?? 0)))
        rows.push(gapRow(gap));
      if (!before || dayOf(before.created_at) !== dayOf(message.created_at)) rows.push(dayRow(message));
      const first = !follows(before, message);
      if (!isNew && message.seq > this.#read && !this.#isMine(message)) {
        isNew = true;
        rows.push({ key: "new", state: [], make: () => lineRow("new", "New") });
      }
      rows.push(this.#row(message, first));
      before = message;
    }
    if (atEnd) pending.forEach((one, index) => rows.push(this.#pendingRow(one, index === 0 && !this.#isMine(before))));
    else if (messages.length > 0)
      rows.push({ key: "later", state: [], make: () => lineRow("later", "Loading later messages…") });
    if (rows.length === 0 && atEnd)
      rows.push({
        key: "empty",
        state: [],
        make: () => h("li", {}, emptyNote("room", "Nothing has been said here yet. Begin!")),
      });
    return rows;
  }

  #row(message, first) {
    if (message.code !== 0)
      return { key: message.seq, state: [message], make: () => eventRow(message, this.#store.me) };
    const mine = this.#isMine(message);
    const menu = (anchor) => this.#menu(message, anchor);
    return { key: message.seq, state: [message, first], make: () => messageRow(message, { mine, first, menu }) };
  }

  #pendingRow(pending, first) {
    const retry = () => this.#timeline.retry(pending.key);
    const discard = () => this.#timeline.discard(pending.key);
    return { key: pending.key, state: [pending, first], make: () => pendingRow(pending, first, retry, discard) };
  }

  #isMine(message) {
    return message?.code === 0 && message.sender.user_id === this.#store.me;
  }

  #editable(message) {
    return !message.removed_at && textOf(message.content) !== null;
  }

  /** Opens the menu of what can be done with a message. */
  #menu(message, anchor) {
    const mine = this.#isMine(message);
    const edit = mine &&
      !this.#over &&
      this.#editable(message) && ["Edit", () => this.composer.edit(message, textOf(message.content))];
    const copy = [
      "Copy",
      () => attempt(() => navigator.clipboard.writeText(textOf(message.content) ?? JSON.stringify(message.content))),
    ];
    const mayRemove = mine || this.#store.rules(this.id);
    openMenu(anchor, [edit, copy, mayRemove && ["Remove…", () => this.#remove(message), true]]);
  }

  async #remove(message) {
    const sure = await confirm(
      "Remove this message?",
      "Everybody sees that it was removed, and nobody what it said.",
      "Remove",
    );
    if (sure) await attempt(() => this.#topic.remove(message.id));
  }

  // Moving

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#bottom = this.#timeline.atEnd && scrollHeight - scrollTop - clientHeight < AT_BOTTOM;
    this.#showJump();
    this.look();
    this.#more();
  }

  /** Reads on where an end is near. */
  #more() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    if (this.#closing.signal.aborted || this.#timeline.messages.length === 0) return;
    if (scrollTop < NEAR_END && !this.#timeline.atStart) this.#timeline.older().catch(() => {});
    else if (scrollHeight - scrollTop - clientHeight < NEAR_END && !this.#timeline.atEnd)
      this.#timeline.newer().catch(() => {});
  }

  #showJump() {
    const count = this.#store.conversations.get(this.id)?.unread ?? 0;
    this.#jump.hidden = this.#bottom && this.#timeline.atEnd;
    this.#jump.lastChild.textContent = count > 0 ? plural(count, "new message") : "To the newest";
  }

  // Typing

  #typed({ user_id, username }) {
    if (user_id === this.#store.me) return;
    clearTimeout(this.#typing.get(user_id)?.timer);
    const stop = () => {
      this.#typing.delete(user_id);
      this.#tellTyping();
    };
    this.#typing.set(user_id, { username, timer: setTimeout(stop, TYPING) });
    this.#tellTyping();
  }

  #tellTyping() {
    this.#typingLine.textContent = typing([...this.#typing.values()].map(({ username }) => `\u2068${username}\u2069`));
  }
}

/** Why nothing can be written, in words. */
export const whyOver = (reason) => LEFT[reason] ?? LEFT.gone;

function follows(before, message) {
  if (before?.code !== 0 || before.sender.user_id !== message.sender.user_id) return false;
  const pause = Date.parse(message.created_at) - Date.parse(before.created_at);
  return pause < PAUSE && dayOf(before.created_at) === dayOf(message.created_at);
}

const dayRow = ({ created_at }) => ({
  key: `day ${dayOf(created_at)}`,
  state: [day(created_at)],
  make: () => lineRow("day", day(created_at)),
});

function gapRow({ from_seq, to_seq }) {
  const text = `Up to ${plural(to_seq - from_seq + 1, "message")} from while you were away are kept no longer`;
  return { key: `gap ${from_seq}`, state: [], make: () => lineRow("gap", text) };
}
