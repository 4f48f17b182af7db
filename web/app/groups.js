/** Making, finding and managing groups, and the small dialogs that begin a conversation. */

import { attempt, confirm, field, form, notice, openDialog, press } from "./dialog.js";
import { avatar, h, name } from "./dom.js";
import { plural } from "./words.js";

const path = (group) => `/v1/groups/${encodeURIComponent(group.id)}`;

export function joinRoom(open) {
  const input = h("input", {
    name: "name",
    required: true,
    maxlength: "64",
    autocomplete: "off",
    placeholder: "lobby",
  });
  const join = async ({ name: room }) => {
    await open(`room:${room.trim()}`);
    dialog.close();
  };
  const dialog = openDialog(
    "Join a room",
    form([field("Its name", input, "A room is open to everybody, and made by whoever joins it first.")], "Join", join),
  );
}

export function writeTo(open) {
  const input = h("input", {
    name: "user",
    required: true,
    maxlength: "128",
    autocomplete: "off",
    spellcheck: "false",
  });
  const write = async ({ user }) => {
    await open(`dm:${user.trim()}`);
    dialog.close();
  };
  const dialog = openDialog(
    "Write to somebody",
    form(
      [field("Their user id", input, "They find it under “Account”. Or pick them from who is here.")],
      "Write",
      write,
    ),
  );
}

export function createGroup(store, open) {
  const create = async (values) => {
    const group = await store.parlour.call("POST", "/v1/groups", settings(values));
    await open(group.topic);
    dialog.close();
  };
  const dialog = openDialog(
    "New group",
    form(fields({ name: "", description: "", open: true, max_members: 100 }), "Create", create),
  );
}

export function findGroups(store, open) {
  const results = h("ul", { class: "results", "aria-live": "polite" });
  const more = h("button", { type: "button", hidden: true }, "Show more");
  let cursor = null;
  const search = async ({ prefix }, next = null) => {
    const query = new URLSearchParams({ limit: "20", ...(prefix && { prefix }), ...(next && { cursor: next }) });
    const page = await store.parlour.call("GET", `/v1/groups?${query}`);
    const rows = page.groups.map((group) => groupRow(store, group, enter));
    if (next) results.append(...rows);
    else
      results.replaceChildren(...(rows.length > 0 ? rows : [h("li", { class: "hint" }, "No group begins like that.")]));
    [cursor, more.hidden] = [page.next_cursor, !page.next_cursor];
  };
  const enter = async (topic) => {
    await attempt(() => open(topic));
    dialog.close();
  };
  const input = h("input", { name: "prefix", type: "search", autocomplete: "off", placeholder: "Gard…" });
  const finder = form([field("Its name begins with", input)], "Find", search);
  more.addEventListener("click", () => press(more, () => search({ prefix: input.value }, cursor)));
  const dialog = openDialog("Find a group", finder, results, more);
  attempt(() => search({ prefix: "" }));
}

function groupRow(store, group, enter) {
  const label = { member: "Open", requested: "Requested" }[group.state] ?? (group.open ? "Join" : "Ask to join");
  const act = async () => {
    if (group.state === "member") return enter(group.topic);
    const { state } = await store.parlour.call("POST", `${path(group)}/join`);
    if (state === "member") return enter(group.topic);
    if (state === "requested") [button.textContent, button.disabled] = ["Requested", true];
    return undefined;
  };
  const pressed = () => press(button, act);
  const button = h("button", { type: "button", onclick: pressed, disabled: group.state === "requested" }, label);
  const about = h(
    "span",
    { class: "about" },
    name(group.name, { class: "name title" }),
    h("span", { class: "last" }, `${plural(group.member_count, "member")}${group.open ? "" : " · by request"}`),
    group.description ? h("span", { class: "last" }, h("bdi", {}, group.description)) : null,
  );
  return h("li", {}, about, button);
}

/** A group as its members see it: what it is, and for admins how to change that. */
export async function manageGroup(store, id, { left }) {
  const group = await attempt(() => store.loadGroup(id));
  if (!group) return;
  const rules = store.rules(id);
  const sections = [
    h(
      "p",
      { class: "hint" },
      `${plural(group.member_count, "member")} of at most ${group.max_members}. ${group.open ? "Anybody may join." : "Whoever wants to join has to ask."}`,
    ),
  ];
  if (group.description && !rules) sections.push(h("p", { dir: "auto" }, group.description));
  if (rules)
    sections.push(editing(store, group), adding(store, group), await asking(store, group), await banned(store, group));
  const leave = async () => {
    if (!(await confirm("Leave this group?", "You lose its chat and its history at once.", "Leave"))) return;
    await press(dialog, async () => {
      await store.parlour.call("POST", `${path(group)}/leave`);
      dialog.close();
      left();
    });
  };
  const remove = async () => {
    if (!(await confirm(`Delete “${group.name}”?`, "Its chat and its history are gone for everybody.", "Delete")))
      return;
    await press(dialog, async () => {
      await store.parlour.call("DELETE", path(group));
      dialog.close();
      left();
    });
  };
  const ends = [h("button", { type: "button", class: "danger", onclick: leave }, "Leave the group")];
  if (group.role === "superadmin")
    ends.push(h("button", { type: "button", class: "danger", onclick: remove }, "Delete the group"));
  const dialog = openDialog(group.name, ...sections, h("div", { class: "actions" }, ends));
}

function editing(store, group) {
  const change = async (values) => {
    await store.parlour.call("PATCH", path(group), settings(values));
    await store.loadGroup(group.topic);
    notice("The group was changed.");
  };
  return h("section", {}, h("h3", {}, "What it is"), form(fields(group), "Save", change));
}

function adding(store, group) {
  const input = h("input", {
    name: "user",
    required: true,
    maxlength: "128",
    autocomplete: "off",
    spellcheck: "false",
  });
  const add = async ({ user }) => {
    await store.parlour.call("PUT", `${path(group)}/members/${encodeURIComponent(user.trim())}`);
    input.value = "";
    notice("They were added.");
  };
  return h("section", {}, h("h3", {}, "Add somebody"), form([field("Their user id", input)], "Add", add));
}

/** Who asks to join. */
function asking(store, group) {
  const member = (user) => `${path(group)}/members/${encodeURIComponent(user.user_id)}`;
  return people(store, group, "requested", "Who asks to join", (user) => [
    ["Accept", () => store.parlour.call("PUT", member(user))],
    ["Decline", () => store.parlour.call("DELETE", member(user))],
  ]);
}

function banned(store, group) {
  return people(store, group, "banned", "Who is banned", (user) => [
    ["Lift the ban", () => store.parlour.call("DELETE", `${path(group)}/bans/${encodeURIComponent(user.user_id)}`)],
  ]);
}

async function people(store, group, state, title, acts) {
  const { members } = (await attempt(() =>
    store.parlour.call("GET", `${path(group)}/members?state=${state}&limit=100`),
  )) ?? { members: [] };
  if (members.length === 0) return null;
  const row = ({ user }) => {
    const act = (call) => press(element, async () => (await call(), element.remove()));
    const element = h(
      "li",
      {},
      avatar(user.user_id, user.username),
      h("span", { class: "about" }, name(user.username)),
      acts(user).map(([label, call]) => h("button", { type: "button", onclick: () => act(call) }, label)),
    );
    return element;
  };
  return h("section", {}, h("h3", {}, title), h("ul", { class: "results" }, members.map(row)));
}

function fields(group) {
  return [
    field(
      "Name",
      h("input", { name: "name", required: true, maxlength: "100", autocomplete: "off", value: group.name }),
    ),
    field(
      "Description",
      h("input", { name: "description", maxlength: "500", autocomplete: "off", value: group.description }),
    ),
    field(
      "Most members",
      h("input", { name: "max_members", type: "number", min: "1", max: "10000", value: group.max_members }),
    ),
    h(
      "label",
      { class: "check" },
      h("input", { name: "open", type: "checkbox", checked: group.open }),
      "Anybody may join without asking",
    ),
  ];
}

const settings = (values) => ({
  name: values.name.trim(),
  description: values.description.trim(),
  open: values.open === "on",
  max_members: Number(values.max_members),
});
