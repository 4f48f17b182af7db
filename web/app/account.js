/** The user's own: their name, how the page looks, where they are signed in, whom they block. */

import { attempt, confirm, field, form, notice, openDialog, press } from "./dialog.js";
import { avatar, h, name } from "./dom.js";
import { setTheme, theme, THEMES } from "./theme.js";
import { wholeTime } from "./words.js";

/** `builtIn` tells whether the account was made here, and is lost where it is forgotten. */
export async function openAccount(store, builtIn) {
  const { parlour } = store;
  const dialog = openDialog(
    "Account",
    naming(parlour),
    identity(parlour),
    appearance(),
    await sessions(parlour),
    blocks(store),
    ending(parlour, builtIn, () => dialog.close()),
  );
}

function naming(parlour) {
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

function identity(parlour) {
  const { user_id } = parlour.user;
  const copy = () => attempt(async () => (await navigator.clipboard.writeText(user_id), notice("Copied.")));
  return h(
    "section",
    {},
    h("h3", {}, "Your user id"),
    h("p", { class: "row" }, h("code", {}, user_id), h("button", { type: "button", onclick: copy }, "Copy")),
    h("p", { class: "hint" }, "Whoever has it can write to you."),
  );
}

function appearance() {
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

async function sessions(parlour) {
  const { sessions: all } = (await attempt(() => parlour.call("GET", "/v1/me/sessions?limit=100"))) ?? { sessions: [] };
  const row = ({ id, created_at, stream_open, current }) => {
    const end = () =>
      press(element, async () => (await parlour.call("DELETE", `/v1/me/sessions/${id}`), element.remove()));
    const about = h(
      "span",
      { class: "about" },
      h("span", { class: "title" }, current ? "This browser" : stream_open ? "Connected elsewhere" : "Not connected"),
      h("span", { class: "last" }, `since ${wholeTime(created_at)}`),
    );
    const element = h("li", {}, about, current ? null : h("button", { type: "button", onclick: end }, "End"));
    return element;
  };
  return h("section", {}, h("h3", {}, "Where you are signed in"), h("ul", { class: "results" }, all.map(row)));
}

function blocks(store) {
  if (store.blocked.size === 0) return null;
  const row = (user) => {
    const unblock = () => press(element, async () => (await store.block(user, false), element.remove()));
    const element = h(
      "li",
      {},
      avatar(user.user_id, user.username),
      h("span", { class: "about" }, name(user.username)),
      h("button", { type: "button", onclick: unblock }, "Unblock"),
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

function ending(parlour, builtIn, close) {
  const signOut = (options) => attempt(async () => (await parlour.signOut(options), close()));
  const forget = async () => {
    const text =
      "This browser is the only key to your account. Forgotten, it cannot be opened again by anybody. What you have said stays.";
    if (await confirm("Forget this account?", text, "Forget it")) await signOut({ forget: true });
  };
  return h(
    "div",
    { class: "actions" },
    h("button", { type: "button", onclick: () => signOut() }, "Sign out"),
    builtIn
      ? h("button", { type: "button", class: "danger", onclick: forget }, "Sign out and forget this account")
      : null,
  );
}
