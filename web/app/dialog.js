/** Dialogs, questions, and short notices. */

import { h, iconButton } from "./dom.js";

/** Opens a dialog; it closes with Escape, its cross, or a click beside it. Answers the element. */
export function openDialog(title, ...body) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const close = iconButton("close", "Close", () => dialog.close());
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("header", {}, heading, close),
    h("div", { class: "dialog-body" }, ...body),
  );
  // The element itself is hit only beside what it holds.
  dialog.addEventListener("mousedown", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  // What is asked for has the focus, and not the cross.
  dialog.querySelector(".dialog-body > form:first-child input")?.focus();
  return dialog;
}

/** Asks before something that cannot be undone. Answers whether to do it. */
export function confirm(title, text, label) {
  return new Promise((resolve) => {
    let sure = false;
    const act = () => {
      sure = true;
      dialog.close();
    };
    const dialog = openDialog(
      title,
      h("p", {}, text),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: act }, label),
      ),
    );
    dialog.addEventListener("close", () => resolve(sure));
  });
}

/**
 * A form: `act` gets its values, and a refusal is told in it. While it acts, it cannot be sent again.
 */
export function form(fields, label, act) {
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "primary" }, label);
  const submit = async (event) => {
    event.preventDefault();
    [error.hidden, button.disabled] = [true, true];
    try {
      await act(Object.fromEntries(new FormData(element)));
    } catch (refusal) {
      [error.textContent, error.hidden] = [refusal.message, false];
    } finally {
      button.disabled = false;
    }
  };
  const element = h("form", { onsubmit: submit }, fields, error, h("div", { class: "actions" }, button));
  return element;
}

let fields = 0;

/** A labelled field. */
export function field(label, control, hint) {
  control.id ||= `field-${(fields += 1)}`;
  const note = hint && h("span", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

let fading;

/** Tells something in passing. */
export function notice(text) {
  const element = document.getElementById("notice");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => element.classList.remove("shown"), 4_000);
}

/** Does something, and tells where it was refused. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    notice(error.message);
    return undefined;
  }
}

const pressed = new WeakSet();

/** As `attempt`, for an element that is pressed: until it is done, to press it again does nothing. */
export async function press(element, act) {
  if (pressed.has(element)) return;
  pressed.add(element);
  element.setAttribute("aria-busy", "true");
  await attempt(act);
  element.removeAttribute("aria-busy");
  pressed.delete(element);
}

/**
 * A menu at an element: `[["Edit", act], …]`. With the arrow keys one moves in it, Escape and a click beside it close it.
 */
export function openMenu(anchor, entries) {
  document.querySelector("[role=menu]")?.remove();
  const done = () => {
    menu.remove();
    listening.abort();
    anchor.setAttribute("aria-expanded", "false");
  };
  const item = ([label, act, danger]) =>
    h(
      "button",
      {
        type: "button",
        role: "menuitem",
        class: danger ? "danger" : null,
        onclick: () => (anchor.focus(), done(), act()),
      },
      label,
    );
  const menu = h("div", { role: "menu", class: "menu" }, entries.filter(Boolean).map(item));
  const items = [...menu.children];
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
    if (event.key === "Escape" || event.key === "Tab") (anchor.focus(), done());
    if (step || event.key === "Escape") (event.preventDefault(), event.stopPropagation());
  };
  const listening = new AbortController();
  menu.addEventListener("keydown", move);
  addEventListener("pointerdown", ({ target }) => menu.contains(target) || done(), { signal: listening.signal });
  addEventListener("resize", done, { signal: listening.signal });
  (anchor.closest("dialog") ?? document.body).append(menu);
  anchor.setAttribute("aria-expanded", "true");
  place(menu, anchor.getBoundingClientRect());
  items[0]?.focus({ preventScroll: true });
}

/** Below the anchor where there is room, else above; never beyond the window. */
function place(menu, { top, bottom, right }) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const y = bottom + height + 8 > innerHeight ? Math.max(8, top - height - 4) : bottom + 4;
  menu.style.setProperty("top", `${y}px`);
  menu.style.setProperty("left", `${Math.max(8, Math.min(right - width, innerWidth - width - 8))}px`);
}
