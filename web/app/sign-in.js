/** The first page: by what name one comes in, or with which token. */

import { field, form } from "./dialog.js";
import { h } from "./dom.js";

/** `enter` opens a session with `{ username }` or `{ token }`, and throws why not. */
export function signIn(enter) {
  const input = h("input", {
    name: "username",
    required: true,
    maxlength: "64",
    autocomplete: "nickname",
    autofocus: true,
  });
  const come = async ({ username }) => {
    try {
      await enter({ username: username.trim() });
    } catch (error) {
      if (error.code !== "forbidden") throw error;
      welcome.replaceChildren(...withToken(enter));
      welcome.querySelector("input").focus();
    }
  };
  const hint = "An account is made for it, and kept in this browser.";
  const welcome = h(
    "main",
    { class: "welcome" },
    logo(),
    h("h1", {}, "Welcome to Parlour"),
    form([field("What shall we call you?", input, hint)], "Come in", come),
  );
  return welcome;
}

/** Where accounts are those of a login elsewhere. */
function withToken(enter) {
  const input = h("input", { name: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const come = ({ token }) => enter({ token: token.trim() });
  return [
    logo(),
    h("h1", {}, "Welcome to Parlour"),
    form(
      [field("Your user token", input, "Accounts here are those of your own login, which gives you one.")],
      "Come in",
      come,
    ),
  ];
}

/** Why it is over, and the way back. */
export function farewell(text, label, act) {
  const error = h("p", { class: "error", role: "alert" });
  const again = () => act().catch((refusal) => (error.textContent = refusal.message));
  return h(
    "main",
    { class: "welcome" },
    logo(),
    h("h1", {}, "See you"),
    h("p", {}, text),
    error,
    h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: again }, label)),
  );
}

const logo = () => h("img", { src: "/app/icon.svg", alt: "", width: "64", height: "64" });
