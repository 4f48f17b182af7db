/** What is said in words: times, counts, and what happens in groups. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();

export const time = (text) => TIME.format(new Date(text));
export const wholeTime = (text) => WHOLE.format(new Date(text));
export const dayOf = (text) => new Date(text).toDateString();

/** `plural(2, "message")` is "2 messages". */
export const plural = (count, noun) => `${NUMBER.format(count)} ${noun}${count === 1 ? "" : "s"}`;

/** A day, as one would say it. */
export function day(text) {
  const date = new Date(text);
  const today = new Date();
  const days = Math.round((new Date(today.toDateString()) - new Date(date.toDateString())) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.getFullYear() === today.getFullYear() ? DAY.format(date) : DAY_OF_YEAR.format(date);
}

/** A time of today, or a short day. */
export const when = (text) =>
  dayOf(text) === new Date().toDateString() ? time(text) : SHORT_DAY.format(new Date(text));

const ROLES = { superadmin: "an owner", admin: "an admin", member: "a member" };
export const roleName = (role) => ({ superadmin: "Owner", admin: "Admin", member: "Member" })[role] ?? role;

/** What an event of a group (codes 1 to 5, 8 and 9) says: pieces of text, and users for their names. */
export function groupEvent({ code, content }, me) {
  const user = content?.user ?? { user_id: "", username: "Somebody" };
  const by = content?.by ?? user;
  const you = user.user_id === me;
  const who = you ? "You" : user;
  const actor = by.user_id === me ? "you" : by;
  const were = you ? "were" : "was";
  const role = ROLES[content?.role] ?? "a member";
  switch (code) {
    case 1:
      return [who, " joined the group"];
    case 2:
      return [who, ` ${were} added by `, actor];
    case 3:
      return [who, " left the group"];
    case 4:
      return [who, ` ${were} removed by `, actor];
    case 5:
    case 9:
      return [by.user_id === me ? "You" : by, " made ", you ? "you" : user, ` ${role}`];
    case 8:
      return [who, ` ${were} banned by `, actor];
    default:
      return [`Something happened (${code})`];
  }
}

/** Whether the user has lost the group with this. */
export const isEnd = ({ code, content }, me) => [3, 4, 8].includes(code) && content.user.user_id === me;

/** Pieces of `groupEvent` as plain text. */
export const flat = (pieces) => pieces.map((piece) => piece.username ?? piece).join("");

/** What a message says, in one line. */
export function preview(message, me) {
  if (message.removed_at) return "Message removed";
  if (message.code !== 0) return flat(groupEvent(message, me));
  const text = textOf(message.content) ?? JSON.stringify(message.content);
  return text.replace(/\s+/gu, " ").slice(0, 140);
}

/** The text of a content that is one: this page sends `{"text": …}`, and others may send a string. */
export function textOf(content) {
  if (typeof content === "string") return content;
  const isText = content !== null && typeof content === "object" && typeof content.text === "string";
  return isText && Object.keys(content).length === 1 ? content.text : null;
}

/** Why a topic is over. */
export const LEFT = {
  left: "You have left.",
  kicked: "You were removed from this group.",
  banned: "You were banned from this group.",
  blocked: "One of you has blocked the other: there are no direct messages between you for now.",
  group_deleted: "This group has been deleted.",
  gone: "This is not open to you any more.",
};

/** Who is typing. */
export function typing(names) {
  if (names.length === 0) return "";
  if (names.length > 3) return "Several people are typing…";
  const last = names.at(-1);
  const list = names.length === 1 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
  return `${list} ${names.length === 1 ? "is" : "are"} typing…`;
}
