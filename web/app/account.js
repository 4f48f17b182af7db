/** The dialog of the user's account: the name, the theme, the sessions and the blocked users. */

import { attempt, attemptOnce, confirm, field, form, notice, openDialog } from "./dialog.js";
import { avatar, h, nameElement } from "./dom.js";
import { dateTimeText } from "./text.js";
import { setTheme, theme, THEMES } from "./theme.js";

/** `builtIn` is true if the account was made in this browser: without the browser's data it cannot be used any more. */
export async function openAccount(store, builtIn) {
  const { parlour } = store;
  const dialog = openDialog(
    "Account",
    nameSection(parlour),
    userIdSection(parlour),
    themeSection(),
    await sessionsSection(parlour),
    blocksSection(store),
    signOutButtons(parlour, builtIn, () => dialog.close()),
  );
}

function nameSection(parlour) {
  const rename = async ({ username }) => {
    await parlour.rename(username.trim());
    notice("From now on that is your name.");
  };
  const input = h("input", {
    name: "username",
    required: true,
    maxlength: "64",
    autocomplete: "nickname",
    value: parlour.user.username,
  });
  return h(
    "section",
    {},
    form([field("Your name", input, "Messages keep the name that they were sent under.")], "Save", rename),
  );
}

function userIdSection(parlour) {
  const { user_id } = parlour.user;
  const copyId = async () => {
    await navigator.clipboard.writeText(user_id);
    notice("Copied.");
  };
  return h(
    "section",
    {},
    h("h3", {}, "Your user id"),
    h(
      "p",
      { class: "row" },
      h("code", {}, user_id),
      button("Copy", () => attempt(copyId)),
    ),
    h("p", { class: "hint" }, "Whoever has it can write to you."),
  );
}

function themeSection() {
  const choice = ([value, label]) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "theme", value, checked: value === theme(), onchange: () => setTheme(value) }),
      label,
    );
  return h(
    "section",
    {},
    h("fieldset", {}, h("legend", {}, "Appearance"), h("div", { class: "row" }, Object.entries(THEMES).map(choice))),
  );
}

async function sessionsSection(parlour) {
  const page = await attempt(() => parlour.call("GET", "/v1/me/sessions?limit=100"));
  const row = (session) => {
    const end = async () => {
      await parlour.call("DELETE", `/v1/me/sessions/${session.id}`);
      element.remove();
    };
    const about = h(
      "span",
      { class: "about" },
      h("span", { class: "title" }, sessionTitle(session)),
      h("span", { class: "last" }, `since ${dateTimeText(session.created_at)}`),
    );
    const element = h("li", {}, about, session.current ? null : button("End", () => attemptOnce(element, end)));
    return element;
  };
  const rows = (page?.sessions ?? []).map(row);
  return h("section", {}, h("h3", {}, "Where you are signed in"), h("ul", { class: "results" }, rows));
}

function sessionTitle({ current, stream_open }) {
  if (current) return "This browser";
  return stream_open ? "Connected elsewhere" : "Not connected";
}

function blocksSection(store) {
  if (store.blocked.size === 0) return null;
  const row = (user) => {
    const unblock = async () => {
      await store.setBlocked(user, false);
      element.remove();
    };
    const element = h(
      "li",
      {},
      avatar(user.user_id, user.username),
      h("span", { class: "about" }, nameElement(user.username)),
      button("Unblock", () => attemptOnce(element, unblock)),
    );
    return element;
  };
  return h(
    "section",
    {},
    h("h3", {}, "Whom you block"),
    h("ul", { class: "results" }, [...store.blocked.values()].map(row)),
  );
}

function signOutButtons(parlour, builtIn, close) {
  const signOut = (options) =>
    attempt(async () => {
      await parlour.signOut(options);
      close();
    });
  const forget = async () => {
    const text =
      "This browser is the only key to your account. Forgotten, it cannot be opened again by anybody. What you have said stays.";
    if (await confirm("Forget this account?", text, "Forget it")) await signOut({ forget: true });
  };
  const forgetButton = () =>
    h("button", { type: "button", class: "danger", onclick: forget }, "Sign out and forget this account");
  return h(
    "div",
    { class: "actions" },
    button("Sign out", () => signOut()),
    builtIn ? forgetButton() : null,
  );
}

const button = (label, onclick) => h("button", { type: "button", onclick }, label);
