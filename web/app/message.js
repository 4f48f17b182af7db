/** The rows of the list of messages. */

import { avatar, h, icon, iconButton, nameElement } from "./dom.js";
import { dateTimeText, groupEvent, plainText, textOf, timeText } from "./text.js";

/** A URL in a text, without the punctuation mark that ends its sentence. */
const LINK = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/giu;
/** A text of at most 12 emoji and spaces: it is shown large. */
const EMOJI = /^(?:\p{RGI_Emoji}|\s){1,12}$/v;
/** The most characters of a message that a screen reader announces. */
const MAX_ANNOUNCED = 300;

/** Returns the row of a stored message. `first` begins a run of one sender's; `menu(anchor)` opens its menu. */
export function messageRow(message, { mine, first, menu }) {
  const removed = Boolean(message.removed_at);
  const openMenu = ({ currentTarget }) => menu(currentTarget);
  const menuButton = () => iconButton("more", "More", openMenu, { "aria-haspopup": "menu", "aria-expanded": "false" });
  const editedMark = () => h("span", { class: "mark", title: dateTimeText(message.edited_at) }, "edited");
  return h(
    "li",
    {
      class: classes("message", mine && "mine", first && "first", removed && "removed"),
      data: { seq: message.seq, id: message.id },
    },
    first && !mine ? avatar(message.sender.user_id, message.sender.username) : null,
    h(
      "article",
      {},
      h(
        "header",
        { class: first ? null : "unseen" },
        nameElement(message.sender.username),
        " ",
        timeElement(message.created_at),
      ),
      h("div", { class: "bubble" }, removed ? h("em", {}, "Message removed") : contentElement(message.content)),
      message.edited_at && !removed ? editedMark() : null,
    ),
    removed ? null : menuButton(),
  );
}

/** Returns the row of an own message that is not stored yet or could not be sent. */
export function pendingRow(pending, first, retry, discard) {
  const failed = pending.state === "failed";
  const failure = () =>
    h(
      "p",
      { class: "failure" },
      `Not sent. ${pending.error.message} `,
      h("button", { type: "button", onclick: retry }, "Try again"),
      " ",
      h("button", { type: "button", onclick: discard }, "Discard"),
    );
  return h(
    "li",
    {
      class: classes("message mine", first && "first", failed ? "failed" : "sending"),
      data: { key: pending.key, state: pending.state },
    },
    h(
      "article",
      {},
      h("header", { class: "unseen" }, nameElement(pending.sender.username)),
      h("div", { class: "bubble" }, contentElement(pending.content)),
      failed ? failure() : h("span", { class: "mark" }, "sending…"),
    ),
  );
}

/** Returns the row of an event of a group. */
export function eventRow(message, me) {
  const pieces = groupEvent(message, me).map((piece) => (piece.username ? nameElement(piece.username) : piece));
  return h("li", { class: "event", data: { seq: message.seq }, title: dateTimeText(message.created_at) }, pieces);
}

/** Returns a line between messages: a day, the first new message, a gap, or a page that is being read. */
export const lineRow = (kind, text) => h("li", { class: `line ${kind}` }, h("span", {}, text));

/** Returns the text that a screen reader announces for a new message. */
export function announcement(message, me) {
  if (message.code !== 0) return plainText(groupEvent(message, me));
  const text = textOf(message.content) ?? "a message that is not text";
  return `${message.sender.username}: ${text}`.slice(0, MAX_ANNOUNCED);
}

function timeElement(time) {
  return h("time", { datetime: time, title: dateTimeText(time) }, timeText(time));
}

function contentElement(content) {
  const text = textOf(content);
  if (text === null) return h("pre", { tabindex: "0", "aria-label": "JSON" }, JSON.stringify(content, null, 2));
  return h("p", { dir: "auto", class: EMOJI.test(text) && text.trim() ? "large" : null }, withLinks(text));
}

/** Returns the pieces of a text: strings, and an element for each link. */
function withLinks(text) {
  const pieces = [];
  let end = 0;
  for (const found of text.matchAll(LINK)) {
    pieces.push(
      text.slice(end, found.index),
      h("a", { href: found[0], target: "_blank", rel: "noopener noreferrer" }, found[0]),
    );
    end = found.index + found[0].length;
  }
  return [...pieces, text.slice(end)];
}

const classes = (...names) => names.filter(Boolean).join(" ");

/** Returns what is shown in place of an empty list. */
export function emptyNote(iconName, text) {
  return h("div", { class: "empty" }, icon(iconName), h("p", {}, text));
}
