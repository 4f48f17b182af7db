/** One message, as it is shown. */

import { avatar, h, icon, iconButton, name } from "./dom.js";
import { flat, groupEvent, textOf, time, wholeTime } from "./words.js";

/** An address in a text, without the mark that ends its sentence. */
const LINK = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/giu;
/** At most so many signs stand large where there is nothing else. */
const EMOJI = /^(?:\p{RGI_Emoji}|\s){1,12}$/v;

/** A stored message. `first` begins a row of one sender's; `menu` opens what can be done with it. */
export function messageRow(message, { mine, first, menu }) {
  const removed = Boolean(message.removed_at);
  const open = ({ currentTarget }) => menu(currentTarget);
  const more = removed ? null : iconButton("more", "More", open, { "aria-haspopup": "menu", "aria-expanded": "false" });
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
      h("header", { class: first ? null : "unseen" }, name(message.sender.username), " ", clock(message.created_at)),
      h("div", { class: "bubble" }, removed ? h("em", {}, "Message removed") : content(message.content)),
      message.edited_at && !removed
        ? h("span", { class: "mark", title: wholeTime(message.edited_at) }, "edited")
        : null,
    ),
    more,
  );
}

/** One's own message that is not stored yet, or has failed. */
export function pendingRow(pending, first, retry, discard) {
  const failed = pending.state === "failed";
  return h(
    "li",
    {
      class: classes("message mine", first && "first", failed ? "failed" : "sending"),
      data: { key: pending.key, state: pending.state },
    },
    h(
      "article",
      {},
      h("header", { class: "unseen" }, name(pending.sender.username)),
      h("div", { class: "bubble" }, content(pending.content)),
      failed
        ? h(
            "p",
            { class: "failure" },
            `Not sent. ${pending.error.message} `,
            h("button", { type: "button", onclick: retry }, "Try again"),
            " ",
            h("button", { type: "button", onclick: discard }, "Discard"),
          )
        : h("span", { class: "mark" }, "sending…"),
    ),
  );
}

/** What has happened in a group. */
export function eventRow(message, me) {
  const pieces = groupEvent(message, me).map((piece) => (piece.username ? name(piece.username) : piece));
  return h("li", { class: "event", data: { seq: message.seq }, title: wholeTime(message.created_at) }, pieces);
}

/** A line between messages: a day, what is new, or what is missing. */
export const lineRow = (kind, text) => h("li", { class: `line ${kind}` }, h("span", {}, text));

/** What is said aloud of a message that arrives. */
export function spoken(message, me) {
  if (message.code !== 0) return flat(groupEvent(message, me));
  return `${message.sender.username}: ${textOf(message.content) ?? "a message that is not text"}`.slice(0, 300);
}

function clock(text) {
  return h("time", { datetime: text, title: wholeTime(text) }, time(text));
}

function content(value) {
  const text = textOf(value);
  if (text === null) return h("pre", { tabindex: "0", "aria-label": "JSON" }, JSON.stringify(value, null, 2));
  return h("p", { dir: "auto", class: EMOJI.test(text) && text.trim() ? "large" : null }, linked(text));
}

/** A text and its links. */
function linked(text) {
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

/** The page while there is nothing to show. */
export function emptyNote(kind, text) {
  return h("div", { class: "empty" }, icon(kind), h("p", {}, text));
}
