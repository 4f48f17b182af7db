/** The dialogs that create, find and manage groups, and those that open a room or a direct message. */

import { attempt, attemptOnce, confirm, field, form, notice, openDialog } from "./dialog.js";
import { avatar, h, nameElement } from "./dom.js";
import { plural } from "./text.js";

const groupPath = (group) => `/v1/groups/${encodeURIComponent(group.id)}`;
const memberPath = (group, userId) => `${groupPath(group)}/members/${encodeURIComponent(userId)}`;
const banPath = (group, userId) => `${groupPath(group)}/bans/${encodeURIComponent(userId)}`;
const button = (label, onclick) => h("button", { type: "button", onclick }, label);
const dangerButton = (label, onclick) => h("button", { type: "button", class: "danger", onclick }, label);

// `open(id)` opens the conversation of a topic, and throws if it is refused.

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
    const group = await store.parlour.call("POST", "/v1/groups", groupSettings(values));
    await open(group.topic);
    dialog.close();
  };
  const dialog = openDialog(
    "New group",
    form(settingFields({ name: "", description: "", open: true, max_members: 100 }), "Create", create),
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
    if (!next) results.replaceChildren();
    if (!next && rows.length === 0) rows.push(h("li", { class: "hint" }, "No group begins like that."));
    results.append(...rows);
    cursor = page.next_cursor;
    more.hidden = !cursor;
  };
  const enter = async (topic) => {
    await attempt(() => open(topic));
    dialog.close();
  };
  const input = h("input", { name: "prefix", type: "search", autocomplete: "off", placeholder: "Gard…" });
  const finder = form([field("Its name begins with", input)], "Find", search);
  more.addEventListener("click", () => attemptOnce(more, () => search({ prefix: input.value }, cursor)));
  const dialog = openDialog("Find a group", finder, results, more);
  attempt(() => search({ prefix: "" }));
}

function groupRow(store, group, enter) {
  const isRequested = group.state === "requested";
  const act = async () => {
    if (group.state === "member") return enter(group.topic);
    const { state } = await store.parlour.call("POST", `${groupPath(group)}/join`);
    if (state === "member") return enter(group.topic);
    if (state === "requested") {
      joinButton.textContent = "Requested";
      joinButton.disabled = true;
    }
    return undefined;
  };
  const onclick = () => attemptOnce(joinButton, act);
  const joinButton = h("button", { type: "button", onclick, disabled: isRequested }, joinLabel(group));
  const about = h(
    "span",
    { class: "about" },
    nameElement(group.name, { class: "name title" }),
    h("span", { class: "last" }, `${plural(group.member_count, "member")}${group.open ? "" : " · by request"}`),
    group.description ? h("span", { class: "last" }, h("bdi", {}, group.description)) : null,
  );
  return h("li", {}, about, joinButton);
}

function joinLabel(group) {
  if (group.state === "member") return "Open";
  if (group.state === "requested") return "Requested";
  return group.open ? "Join" : "Ask to join";
}

/** Opens the dialog of a group: its description, and for admins what they can change. Calls `onLeft` if it was left. */
export async function manageGroup(store, id, onLeft) {
  const group = await attempt(() => store.loadGroup(id));
  if (!group) return;
  const sections = store.isAdmin(id) ? await adminSections(store, group) : descriptionSections(group);
  const dialog = openDialog(
    group.name,
    countNote(group),
    ...sections,
    leaveButtons(store, group, () => dialog, onLeft),
  );
}

function countNote(group) {
  const rule = group.open ? "Anybody may join." : "Whoever wants to join has to ask.";
  return h("p", { class: "hint" }, `${plural(group.member_count, "member")} of at most ${group.max_members}. ${rule}`);
}

const descriptionSections = (group) => (group.description ? [h("p", { dir: "auto" }, group.description)] : []);

async function adminSections(store, group) {
  return [
    settingsSection(store, group),
    addSection(store, group),
    await requestsSection(store, group),
    await bansSection(store, group),
  ];
}

/** Returns the buttons that leave and delete the group. `dialog` returns the dialog that they close. */
function leaveButtons(store, group, dialog, onLeft) {
  const callAndClose = (method, path) =>
    attemptOnce(dialog(), async () => {
      await store.parlour.call(method, path);
      dialog().close();
      onLeft();
    });
  const leave = async () => {
    const text = "You lose its chat and its history at once.";
    if (await confirm("Leave this group?", text, "Leave")) await callAndClose("POST", `${groupPath(group)}/leave`);
  };
  const remove = async () => {
    const text = "Its chat and its history are gone for everybody.";
    if (await confirm(`Delete “${group.name}”?`, text, "Delete")) await callAndClose("DELETE", groupPath(group));
  };
  const buttons = [dangerButton("Leave the group", leave)];
  if (group.role === "superadmin") buttons.push(dangerButton("Delete the group", remove));
  return h("div", { class: "actions" }, buttons);
}

function settingsSection(store, group) {
  const change = async (values) => {
    await store.parlour.call("PATCH", groupPath(group), groupSettings(values));
    await store.loadGroup(group.topic);
    notice("The group was changed.");
  };
  return h("section", {}, h("h3", {}, "What it is"), form(settingFields(group), "Save", change));
}

function addSection(store, group) {
  const input = h("input", {
    name: "user",
    required: true,
    maxlength: "128",
    autocomplete: "off",
    spellcheck: "false",
  });
  const add = async ({ user }) => {
    await store.parlour.call("PUT", memberPath(group, user.trim()));
    input.value = "";
    notice("They were added.");
  };
  return h("section", {}, h("h3", {}, "Add somebody"), form([field("Their user id", input)], "Add", add));
}

function requestsSection(store, group) {
  return usersSection(store, group, "requested", "Who asks to join", (userId) => [
    ["Accept", () => store.parlour.call("PUT", memberPath(group, userId))],
    ["Decline", () => store.parlour.call("DELETE", memberPath(group, userId))],
  ]);
}

function bansSection(store, group) {
  return usersSection(store, group, "banned", "Who is banned", (userId) => [
    ["Lift the ban", () => store.parlour.call("DELETE", banPath(group, userId))],
  ]);
}

/**
 * Returns the list of users in a state with buttons for `actions(userId)`, or null if there are none. A user leaves the
 * list after an action.
 */
async function usersSection(store, group, state, title, actions) {
  const path = `${groupPath(group)}/members?state=${state}&limit=100`;
  const page = await attempt(() => store.parlour.call("GET", path));
  const members = page?.members ?? [];
  if (members.length === 0) return null;
  const row = ({ user }) => {
    const act = (call) =>
      attemptOnce(element, async () => {
        await call();
        element.remove();
      });
    const element = h(
      "li",
      {},
      avatar(user.user_id, user.username),
      h("span", { class: "about" }, nameElement(user.username)),
      actions(user.user_id).map(([label, call]) => button(label, () => act(call))),
    );
    return element;
  };
  return h("section", {}, h("h3", {}, title), h("ul", { class: "results" }, members.map(row)));
}

function settingFields(group) {
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

const groupSettings = (values) => ({
  name: values.name.trim(),
  description: values.description.trim(),
  open: values.open === "on",
  max_members: Number(values.max_members),
});
