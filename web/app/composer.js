/** Where one writes. */

import { h, icon } from "./dom.js";

/** The longest content that a service takes by default, in bytes of JSON, and from where on that is told. */
const [LONGEST, NEAR] = [16_384, 14_000];
/** What is being written, by topic: it stays when another one is opened. */
const drafts = new Map();

/**
 * `host` has `send(text)`, `edit(message, text)`, `typing()`, and `editLast()`, which answers whether there is a message to edit.
 */
export class Composer {
  #host;
  #topic;
  #editing = null;
  #box;
  #editingNote;
  #length;

  constructor(topic, title, host) {
    [this.#topic, this.#host] = [topic, host];
    this.#box = h("textarea", {
      id: "composer",
      rows: "1",
      dir: "auto",
      autocomplete: "off",
      enterkeyhint: "send",
      placeholder: `Message ${title}`,
      "aria-label": `Message ${title}`,
      value: drafts.get(topic) ?? "",
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#key(event),
    });
    this.#length = h("p", { class: "hint", role: "status" });
    this.#editingNote = h(
      "p",
      { class: "editing", hidden: true },
      "Editing a message ",
      h("button", { type: "button", onclick: () => this.stop() }, "Cancel"),
    );
    const send = h("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send" }, icon("send"));
    const submit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.element = h(
      "form",
      { class: "composer", onsubmit: submit },
      this.#editingNote,
      h("div", { class: "writing" }, this.#box, send),
      this.#length,
    );
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** Grows with its text; as soon as it stands in the page, which it must for that. */
  fit() {
    this.#box.style.setProperty("height", "auto");
    this.#box.style.setProperty("height", `${this.#box.scrollHeight + 2}px`);
  }

  /** Edits a message of the user's. */
  edit(message, text) {
    this.#editing = message;
    this.#editingNote.hidden = false;
    this.#fill(text);
    this.focus();
  }

  /** Edits no more. */
  stop() {
    if (!this.#editing) return;
    this.#editing = null;
    this.#editingNote.hidden = true;
    this.#fill(drafts.get(this.#topic) ?? "");
    this.focus();
  }

  #fill(text) {
    this.#box.value = text;
    this.#box.setSelectionRange(text.length, text.length);
    this.#count();
    this.fit();
  }

  #typed() {
    if (!this.#editing) {
      drafts.set(this.#topic, this.#box.value);
      if (this.#box.value.trim()) this.#host.typing();
    }
    this.#count();
    this.fit();
  }

  #key(event) {
    // Enter also ends what an input method composes.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#editing) {
      event.stopPropagation();
      this.stop();
    } else if (event.key === "ArrowUp" && this.#box.value === "" && !this.#editing) {
      if (this.#host.editLast()) event.preventDefault();
    }
  }

  #submit() {
    const text = this.#box.value.trim();
    if (text === "" || bytes(text) > LONGEST) return;
    if (this.#editing) {
      this.#host.edit(this.#editing, text);
      this.stop();
      return;
    }
    drafts.delete(this.#topic);
    this.#fill("");
    this.#host.send(text);
  }

  #count() {
    const count = bytes(this.#box.value.trim());
    const left = LONGEST - count;
    this.#length.textContent = count < NEAR ? "" : left >= 0 ? `${left} bytes left` : `${-left} bytes too long`;
    this.#length.classList.toggle("error", left < 0);
  }
}

const bytes = (text) => new TextEncoder().encode(JSON.stringify({ text })).length;
