/** Dialogs, forms, menus and short notices. */

import { h, iconButton } from "./dom.js";

/** Opens a dialog and returns its element. Escape, its close button, or a click outside of it closes it. */
export function openDialog(title, ...body) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const close = iconButton("close", "Close", () => dialog.close());
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("header", {}, heading, close),
    h("div", { class: "dialog-body" }, ...body),
  );
  // A click inside has a child of the dialog as its target.
  dialog.addEventListener("mousedown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  // The first field has the focus, and not the close button.
  dialog.querySelector(".dialog-body > form:first-child input")?.focus();
  return dialog;
}

/** Shows a question before an action that cannot be undone. Resolves to true if the user confirms it. */
export function confirm(title, text, label) {
  return new Promise((resolve) => {
    let confirmed = false;
    const onConfirm = () => {
      confirmed = true;
      dialog.close();
    };
    const dialog = openDialog(
      title,
      h("p", {}, text),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: onConfirm }, label),
      ),
    );
    dialog.addEventListener("close", () => resolve(confirmed));
  });
}

/**
 * Returns a form. `act` is called with its values; the message of an error that it throws is shown in the form. The
 * form cannot be submitted again until `act` has finished.
 */
export function form(fields, label, act) {
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "primary" }, label);
  const submit = async (event) => {
    event.preventDefault();
    error.hidden = true;
    button.disabled = true;
    try {
      await act(Object.fromEntries(new FormData(element)));
    } catch (refusal) {
      error.textContent = refusal.message;
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  };
  const element = h("form", { onsubmit: submit }, fields, error, h("div", { class: "actions" }, button));
  return element;
}

let fieldCount = 0;

/** Returns a control with its label and hint. */
export function field(label, control, hint) {
  if (!control.id) {
    fieldCount += 1;
    control.id = `field-${fieldCount}`;
  }
  const note = hint && h("span", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

let noticeTimer;

/** Shows a short text for four seconds. */
export function notice(text) {
  const element = document.getElementById("notice");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => element.classList.remove("shown"), 4_000);
}

/** Runs `act` and returns its result. If it throws, shows the message of the error and returns undefined. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    notice(error.message);
    return undefined;
  }
}

const busyElements = new WeakSet();

/** Runs `act` as `attempt` does, for an element that was clicked: until it has finished, further clicks do nothing. */
export async function attemptOnce(element, act) {
  if (busyElements.has(element)) return;
  busyElements.add(element);
  element.setAttribute("aria-busy", "true");
  await attempt(act);
  element.removeAttribute("aria-busy");
  busyElements.delete(element);
}

/**
 * Opens a menu at an element. `entries` are `[label, act, danger]`; false and null are left out. The arrow keys move in
 * it, Escape and a click outside of it close it.
 */
export function openMenu(anchor, entries) {
  document.querySelector("[role=menu]")?.remove();
  const closed = new AbortController();
  const close = () => {
    menu.remove();
    closed.abort();
    anchor.setAttribute("aria-expanded", "false");
  };
  const choose = (act) => {
    anchor.focus();
    close();
    act();
  };
  const item = ([label, act, danger]) =>
    h(
      "button",
      { type: "button", role: "menuitem", class: danger ? "danger" : null, onclick: () => choose(act) },
      label,
    );
  const menu = h("div", { role: "menu", class: "menu" }, entries.filter(Boolean).map(item));
  menu.addEventListener("keydown", (event) => handleMenuKey(event, menu, anchor, close));
  const onPointerDown = ({ target }) => {
    if (!menu.contains(target)) close();
  };
  addEventListener("pointerdown", onPointerDown, { signal: closed.signal });
  addEventListener("resize", close, { signal: closed.signal });
  (anchor.closest("dialog") ?? document.body).append(menu);
  anchor.setAttribute("aria-expanded", "true");
  placeMenu(menu, anchor.getBoundingClientRect());
  menu.firstChild?.focus({ preventScroll: true });
}

/** Moves the focus with the arrow keys; closes the menu with Escape and Tab. */
function handleMenuKey(event, menu, anchor, close) {
  const items = [...menu.children];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  if (event.key === "Escape" || event.key === "Tab") {
    anchor.focus();
    close();
  }
  if (step || event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Places the menu below the anchor if there is room, otherwise above it, and never outside of the window. */
function placeMenu(menu, { top, bottom, right }) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const y = bottom + height + 8 > innerHeight ? Math.max(8, top - height - 4) : bottom + 4;
  menu.style.setProperty("top", `${y}px`);
  menu.style.setProperty("left", `${Math.max(8, Math.min(right - width, innerWidth - width - 8))}px`);
}
