/** Making elements. Whatever somebody has written becomes text, never markup. */

/**
 * An element: `h("button", { class: "quiet", onclick: act, "aria-label": "Close" }, "×")`. What begins with `on` is a
 * listener, `data` an object of data attributes; null, undefined and false leave an attribute out.
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

/** Lines of 24 × 24, drawn with the colour of the text. */
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

/** A button that shows only an icon. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );
}

/** Somebody's name, which cannot disturb what stands around it, whatever direction it is written in. */
export const name = (text, attributes = {}) => h("bdi", { class: "name", ...attributes }, text);

/** The first letters of a name on a colour of its own. */
export function avatar(id, text) {
  const words = text.trim().split(/\s+/u);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "").join("");
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, letters.toUpperCase());
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.codePointAt(0)) % 360;
  element.style.setProperty("--hue", String(hash));
  return element;
}

/**
 * Makes `list` show `rows` (`{ key, state, make }`): an element is made anew only where the state of its row is another
 * one, so that nothing else loses its focus, its selection or its place.
 */
export function show(list, rows) {
  const known = new Map([...list.children].map((child) => [child.rowKey, child]));
  let place = list.firstChild;
  for (const { key, state, make } of rows) {
    let element = known.get(key);
    if (element && !same(element.rowState, state)) {
      const fresh = make();
      if (place === element) place = fresh;
      element.replaceWith(fresh);
      element = fresh;
    }
    element ??= make();
    [element.rowKey, element.rowState] = [key, state];
    known.delete(key);
    if (element === place) place = place.nextSibling;
    else list.insertBefore(element, place);
  }
  known.forEach((element) => element.remove());
}

const same = (one, other) =>
  one?.length === other.length && other.every((value, index) => Object.is(value, one[index]));

/** Runs `act` once, at the next frame, however often it is asked for. */
export function atNextFrame(act) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const run = () => {
      if (!asked) return;
      asked = false;
      act();
    };
    // A page in the background has no frames.
    requestAnimationFrame(run);
    setTimeout(run, 100);
  };
}
