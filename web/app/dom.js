/** Functions that make elements. Strings become text nodes, never markup, so that no user can inject elements. */

/**
 * Returns an element: `h("button", { class: "quiet", onclick: act, "aria-label": "Close" }, "×")`. Attributes that
 * begin with `on` are listeners, `data` is an object of data attributes. Null, undefined and false leave out an
 * attribute or a child.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** SVG paths in a box of 24 × 24, drawn as lines in the colour of the text. */
const ICONS = {
  add: "M12 5v14M5 12h14",
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  group:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.3c2.200.8 3.5 2.9 3.5 5.700",
  send: "M4 12l16-8-6 16-3-7z",
  room: "M9 4L7 20M17 4l-2 16M4 9h16.5M3.5 15H20",
  dm: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c0-3.9 3.1-6 7-6s7 2.1 7 6",
  calendar: "M5 6h14v14H5zM5 10h14M9 3v4M15 3v4",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Returns a button that shows only an icon. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );
}

/** Returns a user's name in a `bdi` element: its writing direction does not affect the text around it. */
export const nameElement = (text, attributes = {}) => h("bdi", { class: "name", ...attributes }, text);

/** Returns the first letters of a name on a colour that depends on the id. */
export function avatar(id, name) {
  const words = name.trim().split(/\s+/u);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "").join("");
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, letters.toUpperCase());
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.codePointAt(0)) % 360;
  element.style.setProperty("--hue", String(hash));
  return element;
}

/**
 * Makes the children of `list` show `rows`: `{ key, state, make }`, with `state` a list of values. An element is made
 * anew only if the state of its row has changed, so that all other elements keep their focus, selection and scroll
 * position.
 */
export function updateRows(list, rows) {
  const oldElements = new Map([...list.children].map((child) => [child.rowKey, child]));
  let next = list.firstChild;
  for (const { key, state, make } of rows) {
    let element = oldElements.get(key);
    if (element && !sameValues(element.rowState, state)) {
      const replacement = make();
      if (next === element) next = replacement;
      element.replaceWith(replacement);
      element = replacement;
    }
    element ??= make();
    element.rowKey = key;
    element.rowState = state;
    oldElements.delete(key);
    if (element === next) next = next.nextSibling;
    else list.insertBefore(element, next);
  }
  oldElements.forEach((element) => element.remove());
}

const sameValues = (one, other) =>
  one?.length === other.length && other.every((value, index) => Object.is(value, one[index]));

/** Returns a function that runs `act` at the next frame, once for all calls before it. */
export function atNextFrame(act) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    const run = () => {
      if (!scheduled) return;
      scheduled = false;
      act();
    };
    // A page in the background has no frames: the timer runs there.
    requestAnimationFrame(run);
    setTimeout(run, 100);
  };
}
