/** The texts of data: times, counts, events of groups, and previews of messages. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DATE_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();
const DAY_MILLISECONDS = 86_400_000;

// Times are RFC 3339 strings. Days are those of the browser's time zone.

export const timeText = (time) => TIME.format(new Date(time));
export const dateTimeText = (time) => DATE_AND_TIME.format(new Date(time));
/** Returns a string that is the same for all times of one day. */
export const dayKey = (time) => new Date(time).toDateString();

/** `plural(2, "message")` is "2 messages". */
export const plural = (count, noun) => `${NUMBER.format(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Returns the day of a time: "Today", "Yesterday", or its date. */
export function dayText(time) {
  const date = new Date(time);
  const today = new Date();
  const days = Math.round((new Date(today.toDateString()) - new Date(date.toDateString())) / DAY_MILLISECONDS);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.getFullYear() === today.getFullYear() ? DAY.format(date) : DAY_OF_YEAR.format(date);
}

/** Returns the time if it is of today, otherwise its day in short. */
export const shortTimeText = (time) =>
  dayKey(time) === new Date().toDateString() ? timeText(time) : SHORT_DAY.format(new Date(time));

const ROLES = { superadmin: "an owner", admin: "an admin", member: "a member" };
export const roleName = (role) => ({ superadmin: "Owner", admin: "Admin", member: "Member" })[role] ?? role;

/**
 * Returns the sentence of an event of a group (codes 1 to 5, 8 and 9) as a list of strings and of users, whose names
 * are shown in elements of their own. `me` is the id of the page's user.
 */
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

/** True if this entry ends the access of the user `me` to the group. */
export const endsAccess = ({ code, content }, me) => [3, 4, 8].includes(code) && content.user.user_id === me;

/** Returns the list of `groupEvent` as one string. */
export const plainText = (pieces) => pieces.map((piece) => piece.username ?? piece).join("");

/** Returns a message as one line of at most 140 characters. */
export function preview(message, me) {
  if (message.removed_at) return "Message removed";
  if (message.code !== 0) return plainText(groupEvent(message, me));
  const text = textOf(message.content) ?? JSON.stringify(message.content);
  return text.replace(/\s+/gu, " ").slice(0, 140);
}

/** Returns the preview of a conversation's last message with its sender; "" if there is none. */
export function lastLine({ last }, me) {
  if (!last) return "";
  const text = preview(last, me);
  if (last.code !== 0 || last.removed_at) return text;
  return `${last.sender.user_id === me ? "You" : last.sender.username}: ${text}`;
}

/**
 * Returns the text of a content, or null if it is not a text. This page sends `{"text": …}`; others may send a string.
 */
export function textOf(content) {
  if (typeof content === "string") return content;
  const isText = content !== null && typeof content === "object" && typeof content.text === "string";
  return isText && Object.keys(content).length === 1 ? content.text : null;
}

/** The texts of the reasons for which a topic was left. */
const LEFT_REASONS = {
  left: "You have left.",
  kicked: "You were removed from this group.",
  banned: "You were banned from this group.",
  blocked: "One of you has blocked the other: there are no direct messages between you for now.",
  group_deleted: "This group has been deleted.",
  gone: "This is not open to you any more.",
};

/** Returns why nothing can be written any more. */
export const leftText = (reason) => LEFT_REASONS[reason] ?? LEFT_REASONS.gone;

/** Returns the sentence about who is typing, or "" if nobody is. */
export function typingText(names) {
  if (names.length === 0) return "";
  if (names.length > 3) return "Several people are typing…";
  const last = names.at(-1);
  const list = names.length === 1 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
  return `${list} ${names.length === 1 ? "is" : "are"} typing…`;
}
