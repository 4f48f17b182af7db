/** An open conversation: its messages, its history, and the composer. */

import { Timeline } from "/parlour.js";
import { Composer } from "./composer.js";
import { attempt, confirm, openMenu } from "./dialog.js";
import { atNextFrame, h, icon, updateRows } from "./dom.js";
import { announcement, emptyNote, eventRow, lineRow, messageRow, pendingRow } from "./message.js";
import { dayKey, dayText, plural, textOf, typingText } from "./text.js";

/** The distance from an end of the list at which the next page is read, in pixels. */
const READ_AHEAD = 800;
/** The distance from the bottom up to which the list counts as scrolled to the bottom, in pixels. */
const BOTTOM_TOLERANCE = 48;
/** The longest time between two messages of one sender that are shown as one run, in milliseconds. */
const MAX_RUN_PAUSE = 5 * 60_000;
/** The time for which a user is shown as typing, in milliseconds. */
const TYPING_TIME = 5_000;
/** The number of messages in the list that a screen reader announces. */
const MAX_ANNOUNCEMENTS = 5;

export class Conversation {
  #store;
  #topic;
  #timeline;
  /** The reason for which nothing can be written, or null. */
  #endReason = null;
  /** The read mark at the time of opening: messages after it are marked as new. */
  #readMark;
  /** The users who are typing, by id: `{ username, timer }`. */
  #typing = new Map();
  #closed = new AbortController();
  /** True if the list is scrolled to the bottom, and stays there when messages arrive. */
  #atBottom = true;
  #scroll;
  #jumpButton;
  #typingLine;
  #footer;
  #drawAtNextFrame = atNextFrame(() => this.#draw());

  /** `topic` is a joined topic, or one that can only be read. `header` is the element above the messages. */
  constructor(store, conversation, topic, header) {
    this.#store = store;
    this.#topic = topic;
    this.id = conversation.id;
    this.#readMark = conversation.unread > 0 ? conversation.read : Infinity;
    this.#timeline = new Timeline(topic);
    this.list = h("ol", { class: "messages" });
    this.#scroll = h(
      "div",
      {
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": `Messages in ${conversation.title}`,
        onscroll: () => this.#handleScroll(),
      },
      this.list,
    );
    this.#jumpButton = h(
      "button",
      { type: "button", class: "jump", hidden: true, onclick: () => this.#toNewest() },
      icon("down"),
      h("span", {}),
    );
    this.#typingLine = h("p", { class: "typing", "aria-live": "polite" });
    this.composer = new Composer(this.id, conversation.title, this.#composerActions());
    this.#footer = h("footer", {}, this.#typingLine, this.composer.element);
    this.element = h(
      "section",
      { class: "conversation" },
      header,
      h("div", { class: "log" }, this.#scroll, this.#jumpButton),
      this.#footer,
    );
    this.#listen();
  }

  async open() {
    await attempt(() => this.#timeline.open());
    this.#drawAtNextFrame();
  }

  /** Shows the messages around a time. */
  async openAt(time) {
    this.#atBottom = false;
    await attempt(() => this.#timeline.open({ time }));
    this.#draw();
    this.#scroll.scrollTop = 0;
    // The first message at or after the time is at the top of the list; earlier ones are above it.
    const target = this.#timeline.messages.find(({ created_at }) => created_at >= time);
    this.list.querySelector(`[data-seq="${target?.seq}"]`)?.scrollIntoView({ block: "start" });
  }

  async #toNewest() {
    this.#atBottom = true;
    if (!this.#timeline.atEnd) await attempt(() => this.#timeline.open());
    this.#draw();
    this.composer.focus();
  }

  /** True while a message is being sent. */
  get isSending() {
    return this.#timeline.pending.some(({ state }) => state === "sending");
  }

  /** Replaces the composer by the reason why nothing can be written. `remedy` is a button that may help, or null. */
  end(reason, remedy = null) {
    this.#endReason = reason;
    this.#footer.replaceChildren(h("div", { class: "over" }, h("p", {}, reason), remedy));
  }

  close() {
    this.#closed.abort();
    this.#timeline.close();
  }

  /** Moves the read mark to the end if the newest message is visible. */
  #markVisible() {
    const isVisible = document.visibilityState === "visible";
    if (this.#atBottom && this.#timeline.atEnd && isVisible) this.#store.markRead(this.id);
  }

  #listen() {
    const { signal } = this.#closed;
    this.#timeline.addEventListener("change", this.#drawAtNextFrame, { signal });
    this.#topic.addEventListener("typing", ({ detail }) => this.#handleTyping(detail), { signal });
    this.#topic.addEventListener("message", ({ detail }) => this.#handleMessage(detail), { signal });
    document.addEventListener("visibilitychange", () => this.#markVisible(), { signal });
    // The list shrinks when the keyboard of a phone opens: it stays scrolled to the bottom.
    const resized = new ResizeObserver(() => {
      if (this.#atBottom) this.#scrollToBottom();
    });
    resized.observe(this.#scroll);
    signal.addEventListener("abort", () => resized.disconnect());
  }

  #composerActions() {
    return {
      send: (text) => {
        this.#atBottom = true;
        this.#timeline.send({ text });
      },
      edit: (message, text) => attempt(() => this.#topic.edit(message.id, { text })),
      editLast: () => {
        const last = this.#timeline.messages.findLast((message) => this.#isMine(message) && isEditable(message));
        if (last) this.composer.edit(last, textOf(last.content));
        return Boolean(last);
      },
      typing: () => this.#topic.typing().catch(() => {}),
    };
  }

  #handleMessage(message) {
    this.#typing.delete(message.sender.user_id);
    this.#showTyping();
    if (message.sender.user_id === this.#store.me) return;
    const announcer = document.getElementById("announcer");
    announcer.append(h("p", {}, announcement(message, this.#store.me)));
    while (announcer.children.length > MAX_ANNOUNCEMENTS) announcer.firstChild.remove();
  }

  // Drawing

  #draw() {
    if (this.#closed.signal.aborted) return;
    const anchor = this.#atBottom ? null : this.#anchor();
    updateRows(this.list, this.#rows());
    this.#scroll.classList.toggle("nothing", this.list.children.length === 0);
    if (this.#atBottom && this.#timeline.atEnd) this.#scrollToBottom();
    else this.#scrollToAnchor(anchor);
    this.#showJumpButton();
    this.#markVisible();
    this.#readMore();
  }

  /** Returns the first visible message and its position on the screen, where it stays when rows are added above it. */
  #anchor() {
    const top = this.#scroll.getBoundingClientRect().top;
    const element = [...this.list.children].find((row) => row.dataset.seq && row.getBoundingClientRect().bottom > top);
    return element && { seq: element.dataset.seq, top: element.getBoundingClientRect().top };
  }

  #scrollToAnchor(anchor) {
    const element = anchor && this.list.querySelector(`[data-seq="${anchor.seq}"]`);
    if (element) this.#scroll.scrollTop += element.getBoundingClientRect().top - anchor.top;
  }

  #scrollToBottom() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #rows() {
    const { messages, pending, atStart, atEnd } = this.#timeline;
    if (messages.length === 0 && pending.length === 0 && atEnd) return [emptyRow()];
    const rows = [];
    if (!atStart && messages.length > 0) rows.push(fixedLine("earlier", "Loading earlier messages…"));
    rows.push(...this.#messageRows());
    if (atEnd) rows.push(...this.#pendingRows());
    else if (messages.length > 0) rows.push(fixedLine("later", "Loading later messages…"));
    return rows;
  }

  /** Returns the rows of the stored messages, with lines for gaps, days and the first new message. */
  #messageRows() {
    const { messages, gaps } = this.#timeline;
    const rows = [];
    let previous = null;
    let hasNewLine = false;
    for (const message of messages) {
      const previousSeq = previous?.seq ?? 0;
      const gapsBefore = gaps.filter(({ to_seq }) => to_seq < message.seq && to_seq > previousSeq);
      rows.push(...gapsBefore.map(gapLine));
      if (!previous || dayKey(previous.created_at) !== dayKey(message.created_at)) rows.push(dayLine(message));
      if (!hasNewLine && message.seq > this.#readMark && !this.#isMine(message)) {
        hasNewLine = true;
        rows.push(fixedLine("new", "New"));
      }
      rows.push(this.#row(message, !continuesRun(previous, message)));
      previous = message;
    }
    return rows;
  }

  #pendingRows() {
    const { messages, pending } = this.#timeline;
    const continuesOwnRun = this.#isMine(messages.at(-1));
    return pending.map((one, index) => this.#pendingRow(one, index === 0 && !continuesOwnRun));
  }

  #row(message, first) {
    if (message.code !== 0)
      return { key: message.seq, state: [message], make: () => eventRow(message, this.#store.me) };
    const mine = this.#isMine(message);
    const menu = (anchor) => this.#openMenu(message, anchor);
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

  /** Opens the menu of a message. */
  #openMenu(message, anchor) {
    const isMine = this.#isMine(message);
    const text = textOf(message.content);
    const mayEdit = isMine && !this.#endReason && isEditable(message);
    const mayRemove = isMine || this.#store.isAdmin(this.id);
    const copy = () => navigator.clipboard.writeText(text ?? JSON.stringify(message.content));
    openMenu(anchor, [
      mayEdit && ["Edit", () => this.composer.edit(message, text)],
      ["Copy", () => attempt(copy)],
      mayRemove && ["Remove…", () => this.#remove(message), true],
    ]);
  }

  async #remove(message) {
    const confirmed = await confirm(
      "Remove this message?",
      "Everybody sees that it was removed, and nobody what it said.",
      "Remove",
    );
    if (confirmed) await attempt(() => this.#topic.remove(message.id));
  }

  // Scrolling

  #handleScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#atBottom = this.#timeline.atEnd && scrollHeight - scrollTop - clientHeight < BOTTOM_TOLERANCE;
    this.#showJumpButton();
    this.#markVisible();
    this.#readMore();
  }

  /** Reads the next page if the list is scrolled near one of its ends. */
  #readMore() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    if (this.#closed.signal.aborted || this.#timeline.messages.length === 0) return;
    if (scrollTop < READ_AHEAD && !this.#timeline.atStart) this.#timeline.older().catch(() => {});
    else if (scrollHeight - scrollTop - clientHeight < READ_AHEAD && !this.#timeline.atEnd)
      this.#timeline.newer().catch(() => {});
  }

  #showJumpButton() {
    const count = this.#store.conversations.get(this.id)?.unread ?? 0;
    this.#jumpButton.hidden = this.#atBottom && this.#timeline.atEnd;
    this.#jumpButton.lastChild.textContent = count > 0 ? plural(count, "new message") : "To the newest";
  }

  // Typing

  #handleTyping({ user_id, username }) {
    if (user_id === this.#store.me) return;
    clearTimeout(this.#typing.get(user_id)?.timer);
    const stop = () => {
      this.#typing.delete(user_id);
      this.#showTyping();
    };
    this.#typing.set(user_id, { username, timer: setTimeout(stop, TYPING_TIME) });
    this.#showTyping();
  }

  #showTyping() {
    const names = [...this.#typing.values()].map(({ username }) => isolated(username));
    this.#typingLine.textContent = typingText(names);
  }
}

const isEditable = (message) => !message.removed_at && textOf(message.content) !== null;

/** Encloses a name in Unicode isolates (U+2068, U+2069), so that its writing direction does not affect the sentence. */
const isolated = (name) => `\u2068${name}\u2069`;

/** Reports whether two messages belong to one run: the same sender and day, and a short pause between them. */
function continuesRun(previous, message) {
  if (previous?.code !== 0 || previous.sender.user_id !== message.sender.user_id) return false;
  const pause = Date.parse(message.created_at) - Date.parse(previous.created_at);
  return pause < MAX_RUN_PAUSE && dayKey(previous.created_at) === dayKey(message.created_at);
}

const fixedLine = (kind, text) => ({ key: kind, state: [], make: () => lineRow(kind, text) });

const emptyRow = () => ({
  key: "empty",
  state: [],
  make: () => h("li", {}, emptyNote("room", "Nothing has been said here yet. Begin!")),
});

const dayLine = ({ created_at }) => ({
  key: `day ${dayKey(created_at)}`,
  state: [dayText(created_at)],
  make: () => lineRow("day", dayText(created_at)),
});

function gapLine({ from_seq, to_seq }) {
  const text = `Up to ${plural(to_seq - from_seq + 1, "message")} from while you were away are kept no longer`;
  return { key: `gap ${from_seq}`, state: [], make: () => lineRow("gap", text) };
}
