/** The page before and after a session: the form to sign in, and the reason why a session has ended. */

import { field, form } from "./dialog.js";
import { h } from "./dom.js";

/** Returns the first page. `enter` opens a session with `{ username }` or `{ token }`, and throws if it is refused. */
export function signIn(enter) {
  const input = h("input", {
    name: "username",
    required: true,
    maxlength: "64",
    autocomplete: "nickname",
    autofocus: true,
  });
  const submit = async ({ username }) => {
    try {
      await enter({ username: username.trim() });
    } catch (error) {
      // The service has no built-in accounts: it accepts user tokens only.
      if (error.code !== "forbidden") throw error;
      welcome.replaceChildren(...tokenForm(enter));
      welcome.querySelector("input").focus();
    }
  };
  const hint = "An account is made for it, and kept in this browser.";
  const welcome = h(
    "main",
    { class: "welcome" },
    logo(),
    h("h1", {}, "Welcome to Parlour"),
    form([field("What shall we call you?", input, hint)], "Come in", submit),
  );
  return welcome;
}

/** Returns the form for a service whose users have tokens of a login of its own. */
function tokenForm(enter) {
  const input = h("input", { name: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const submit = ({ token }) => enter({ token: token.trim() });
  return [
    logo(),
    h("h1", {}, "Welcome to Parlour"),
    form(
      [field("Your user token", input, "Accounts here are those of your own login, which gives you one.")],
      "Come in",
      submit,
    ),
  ];
}

/** Returns the page of an ended session: the reason, and a button that calls `act`. */
export function endPage(text, label, act) {
  const error = h("p", { class: "error", role: "alert" });
  const onclick = async () => {
    try {
      await act();
    } catch (refusal) {
      error.textContent = refusal.message;
    }
  };
  return h(
    "main",
    { class: "welcome" },
    logo(),
    h("h1", {}, "See you"),
    h("p", {}, text),
    error,
    h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick }, label)),
  );
}

const logo = () => h("img", { src: "/app/icon.svg", alt: "", width: "64", height: "64" });
