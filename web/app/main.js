/**
 * The web client: a page to chat in, based on the module `/parlour.js`.
 *
 * The files: `store.js` holds the state of the page; `sidebar.js` lists the conversations, `view.js` shows the open
 * one. That consists of `header.js`, `conversation.js` with `message.js` for each message and `composer.js`, and
 * `people.js`. `groups.js` and `account.js` are dialogs, `sign-in.js` is the page before and after a session, `text.js`
 * formats data as text, and `dom.js` makes elements.
 *
 * The fragment of the page's URL names the open conversation: `/#room:lobby`, `/#group:ID`, `/#dm:USER`. `/#token=JWT`
 * signs in with a user token of the service's own login.
 */

import { Parlour } from "/parlour.js";
import { openAccount } from "./account.js";
import { openMenu } from "./dialog.js";
import { h } from "./dom.js";
import { createGroup, findGroups, joinRoom, writeTo } from "./groups.js";
import { Sidebar, topicFragment } from "./sidebar.js";
import { endPage, signIn } from "./sign-in.js";
import { Store } from "./store.js";
import { applyTheme } from "./theme.js";
import { View } from "./view.js";

/** The room that opens for a user without conversations. */
const LOBBY = "room:lobby";
/** The key in `localStorage` for how this browser has signed in: `device` or `token`. */
const SIGNED_IN_KEY = "parlour signed in";
/** The key in `sessionStorage` for the user token. */
const TOKEN_KEY = "parlour user token";

/** By reason why the session has ended: the text, and the label of the button that opens it again. */
const END_TEXTS = {
  signed_out: ["You are signed out.", "Sign in again"],
  replaced: ["This session is open elsewhere.", "Go on here"],
  refused: ["The service did not let you in.", "Try again"],
  closed: ["This page has stopped listening.", "Go on"],
};
const STATE_TEXTS = { connecting: "Connecting…", waiting: "No connection. Trying again…" };

const page = document.getElementById("page");

/** Opens a session and shows the page. Throws if the service refuses. */
async function enter({ username, token }) {
  const parlour = new Parlour(token ? { userToken: () => token } : { username });
  parlour.addEventListener("state", () => showState(parlour));
  await parlour.open();
  localStorage.setItem(SIGNED_IN_KEY, token ? "token" : "device");
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  await showPage(parlour, !token);
}

/** `builtIn` is true if the account was made in this browser. */
async function showPage(parlour, builtIn) {
  const store = new Store(parlour);
  const connection = h("p", { id: "connection", role: "status" });
  const view = new View(store);
  const sidebar = new Sidebar(store, {
    openAccount: () => openAccount(store, builtIn),
    openAddMenu: (anchor) => openAddMenu(anchor, store, view),
  });
  const columns = h("div", { class: "columns" }, sidebar.element, view.element);
  page.replaceChildren(skipLink(), connection, columns);
  parlour.addEventListener("state", ({ detail }) => {
    if (detail.state === "ended") view.close();
  });
  showState(parlour);
  const hasTopics = await store.load().catch(() => true);
  if (location.hash.length < 2 && !hasTopics) location.replace(`#${topicFragment(LOBBY)}`);
  view.begin();
}

function openAddMenu(anchor, store, view) {
  const open = (id) => view.goTo(id);
  openMenu(anchor, [
    ["Join a room", () => joinRoom(open)],
    ["Write to somebody", () => writeTo(open)],
    ["Find a group", () => findGroups(store, open)],
    ["New group", () => createGroup(store, open)],
  ]);
}

/** Returns the link by which keyboard users skip the list of conversations. */
function skipLink() {
  const onclick = (event) => {
    // The fragment of the URL names the conversation and stays.
    event.preventDefault();
    document.getElementById("composer")?.focus();
  };
  return h("a", { class: "skip", href: "#composer", onclick }, "Skip to writing");
}

/** Shows the state of the connection, or the end page if the session has ended. */
function showState(parlour) {
  document.documentElement.dataset.state = parlour.state;
  const connection = document.getElementById("connection");
  if (connection) connection.textContent = STATE_TEXTS[parlour.state] ?? "";
  if (parlour.state !== "ended" || !connection) return;
  const [text, label] = END_TEXTS[parlour.reason] ?? END_TEXTS.closed;
  const isSignedOut = parlour.reason === "signed_out";
  if (isSignedOut) localStorage.removeItem(SIGNED_IN_KEY);
  document.title = "Parlour";
  const again = isSignedOut ? begin : () => enter({ token: savedToken() });
  page.replaceChildren(endPage(text, label, again));
}

const savedToken = () => sessionStorage.getItem(TOKEN_KEY) ?? undefined;

/** Returns the token in the URL and removes it from there at once: URLs are shown, stored and shared. */
function takeTokenFromUrl() {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", location.pathname);
  return token && decodeURIComponent(token);
}

/** Signs in with what this browser has, or shows the form to sign in. */
async function begin() {
  const token = takeTokenFromUrl() ?? savedToken();
  if (!token && localStorage.getItem(SIGNED_IN_KEY) !== "device") {
    page.replaceChildren(signIn(enter));
    return;
  }
  page.replaceChildren(h("main", { class: "welcome" }, h("p", { class: "hint" }, "Connecting…")));
  try {
    await enter({ token });
  } catch (error) {
    localStorage.removeItem(SIGNED_IN_KEY);
    sessionStorage.removeItem(TOKEN_KEY);
    page.replaceChildren(endPage(error.message, "Sign in", begin));
  }
}

applyTheme();
begin();
