/**
 * The web client: a page to chat in, upon the module `/parlour.js`.
 *
 * Where things are: `store.js` is what the page knows; `sidebar.js` lists the conversations, `conversation.js` shows one,
 * with `header.js` above it, `message.js` for each message, `composer.js` below, and `people.js` beside it. `groups.js` and
 * `account.js` are dialogs, `sign-in.js` is what comes before, `words.js` what is said in words, `dom.js` makes elements.
 *
 * The open conversation stands in the address: `/#room:lobby`, `/#group:ID`, `/#dm:USER`. `/#token=JWT` comes in with a
 * token of one's own login.
 */

import { Parlour } from "/parlour.js";
import { openAccount } from "./account.js";
import { openMenu } from "./dialog.js";
import { h } from "./dom.js";
import { createGroup, findGroups, joinRoom, writeTo } from "./groups.js";
import { inAddress, Sidebar } from "./sidebar.js";
import { farewell, signIn } from "./sign-in.js";
import { Store } from "./store.js";
import { wear } from "./theme.js";
import { View } from "./view.js";

/** Where one comes to who has no conversation yet. */
const LOBBY = "room:lobby";
/** That this browser has been signed in, and how. */
const KNOWN = "parlour signed in";
const TOKEN = "parlour user token";

const ENDED = {
  signed_out: ["You are signed out.", "Sign in again"],
  replaced: ["This session is open elsewhere.", "Go on here"],
  refused: ["The service did not let you in.", "Try again"],
  closed: ["This page has stopped listening.", "Go on"],
};
const STATES = { connecting: "Connecting…", waiting: "No connection. Trying again…" };

const page = document.getElementById("page");

/** Comes in, and shows the page. Throws where the service refuses. */
async function enter({ username, token }) {
  const parlour = new Parlour(token ? { userToken: () => token } : { username });
  parlour.addEventListener("state", () => tell(parlour));
  await parlour.open();
  localStorage.setItem(KNOWN, token ? "token" : "device");
  if (token) sessionStorage.setItem(TOKEN, token);
  await showPage(parlour, !token);
}

async function showPage(parlour, builtIn) {
  const store = new Store(parlour);
  const connection = h("p", { id: "connection", role: "status" });
  const view = new View(store);
  const open = (id) => view.goTo(id);
  const add = (anchor) =>
    openMenu(anchor, [
      ["Join a room", () => joinRoom(open)],
      ["Write to somebody", () => writeTo(open)],
      ["Find a group", () => findGroups(store, open)],
      ["New group", () => createGroup(store, open)],
    ]);
  const sidebar = new Sidebar(store, { account: () => openAccount(store, builtIn), add });
  const skip = h(
    "a",
    {
      class: "skip",
      href: "#composer",
      onclick: (event) => (event.preventDefault(), document.getElementById("composer")?.focus()),
    },
    "Skip to writing",
  );
  page.replaceChildren(skip, connection, h("div", { class: "columns" }, sidebar.element, view.element));
  parlour.addEventListener("state", ({ detail }) => detail.state === "ended" && view.close());
  tell(parlour);
  const isKnown = await store.load().catch(() => true);
  if (location.hash.length < 2 && !isKnown) location.replace(`#${inAddress(LOBBY)}`);
  view.begin();
}

/** Shows how the connection is. */
function tell(parlour) {
  document.documentElement.dataset.state = parlour.state;
  const connection = document.getElementById("connection");
  if (connection) connection.textContent = STATES[parlour.state] ?? "";
  if (parlour.state !== "ended" || !connection) return;
  const [text, label] = ENDED[parlour.reason] ?? ENDED.closed;
  if (parlour.reason === "signed_out") localStorage.removeItem(KNOWN);
  document.title = "Parlour";
  const again = parlour.reason === "signed_out" ? async () => begin() : () => enter({ token: keptToken() });
  page.replaceChildren(farewell(text, label, again));
}

const keptToken = () => sessionStorage.getItem(TOKEN) ?? undefined;

/** A token in the address is taken out of it at once: addresses are shown, kept and passed on. */
function tokenInAddress() {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", location.pathname);
  return token && decodeURIComponent(token);
}

function begin() {
  const token = tokenInAddress() ?? keptToken();
  if (!token && localStorage.getItem(KNOWN) !== "device") return page.replaceChildren(signIn(enter));
  page.replaceChildren(h("main", { class: "welcome" }, h("p", { class: "hint" }, "Connecting…")));
  return enter({ token }).catch((error) => {
    localStorage.removeItem(KNOWN);
    sessionStorage.removeItem(TOKEN);
    page.replaceChildren(farewell(error.message, "Sign in", async () => begin()));
  });
}

wear();
begin();
