/** The form that writes and edits messages. */

import { h, icon } from "./dom.js";

/** The longest content that a service accepts by default, in bytes of JSON. */
const MAX_BYTES = 16_384;
/** The length from which on the remaining bytes are shown. */
const SHOW_REMAINING_FROM = 14_000;
/** By topic, the text that is not sent yet. It is kept when another conversation is opened. */
const unsentTexts = new Map();

export class Composer {
  #actions;
  #topic;
  /** The message that is edited, or null. */
  #edited = null;
  #textarea;
  #editNote;
  #lengthNote;

  /**
   * `actions` has `send(text)`, `edit(message, text)`, `typing()`, and `editLast()`, which returns true if there is a
   * message to edit.
   */
  constructor(topic, title, actions) {
    this.#topic = topic;
    this.#actions = actions;
    this.#textarea = h("textarea", {
      id: "composer",
      rows: "1",
      dir: "auto",
      autocomplete: "off",
      enterkeyhint: "send",
      placeholder: `Message ${title}`,
      "aria-label": `Message ${title}`,
      value: unsentTexts.get(topic) ?? "",
      oninput: () => this.#handleInput(),
      onkeydown: (event) => this.#handleKey(event),
    });
    this.#lengthNote = h("p", { class: "hint", role: "status" });
    this.#editNote = h(
      "p",
      { class: "editing", hidden: true },
      "Editing a message ",
      h("button", { type: "button", onclick: () => this.#stopEditing() }, "Cancel"),
    );
    const send = h("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send" }, icon("send"));
    const submit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.element = h(
      "form",
      { class: "composer", onsubmit: submit },
      this.#editNote,
      h("div", { class: "writing" }, this.#textarea, send),
      this.#lengthNote,
    );
  }

  focus() {
    this.#textarea.focus({ preventScroll: true });
  }

  /** Adapts the height to the text. The element must be in the page: outside of it, it has no height. */
  fit() {
    this.#textarea.style.setProperty("height", "auto");
    this.#textarea.style.setProperty("height", `${this.#textarea.scrollHeight + 2}px`);
  }

  /** Starts to edit a message of the user. */
  edit(message, text) {
    this.#edited = message;
    this.#editNote.hidden = false;
    this.#setText(text);
    this.focus();
  }

  #stopEditing() {
    if (!this.#edited) return;
    this.#edited = null;
    this.#editNote.hidden = true;
    this.#setText(unsentTexts.get(this.#topic) ?? "");
    this.focus();
  }

  #setText(text) {
    this.#textarea.value = text;
    this.#textarea.setSelectionRange(text.length, text.length);
    this.#showLength();
    this.fit();
  }

  #handleInput() {
    if (!this.#edited) {
      unsentTexts.set(this.#topic, this.#textarea.value);
      if (this.#textarea.value.trim()) this.#actions.typing();
    }
    this.#showLength();
    this.fit();
  }

  #handleKey(event) {
    // In an input method, Enter ends the composition and must not send.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#edited) {
      event.stopPropagation();
      this.#stopEditing();
    } else if (event.key === "ArrowUp" && this.#textarea.value === "" && !this.#edited) {
      if (this.#actions.editLast()) event.preventDefault();
    }
  }

  #submit() {
    const text = this.#textarea.value.trim();
    if (text === "" || contentBytes(text) > MAX_BYTES) return;
    if (this.#edited) {
      this.#actions.edit(this.#edited, text);
      this.#stopEditing();
      return;
    }
    unsentTexts.delete(this.#topic);
    this.#setText("");
    this.#actions.send(text);
  }

  #showLength() {
    const length = contentBytes(this.#textarea.value.trim());
    this.#lengthNote.textContent = lengthText(length);
    this.#lengthNote.classList.toggle("error", length > MAX_BYTES);
  }
}

function lengthText(length) {
  if (length < SHOW_REMAINING_FROM) return "";
  return length <= MAX_BYTES ? `${MAX_BYTES - length} bytes left` : `${length - MAX_BYTES} bytes too long`;
}

const contentBytes = (text) => new TextEncoder().encode(JSON.stringify({ text })).length;
