//! The data of a stream's events, as clients get it.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::model::{Presence, Seq, SessionId, TopicId, UserId};

/// `ready`: the first event of every stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready<'a> {
    /// The id of the session that the stream belongs to.
    pub session_id: SessionId,
    /// The id of the session's user.
    pub user_id: &'a UserId,
    /// The topics that the session has joined, each with the position at which the stream continues.
    pub topics: Vec<ReadyTopic<'a>>,
}

/// A topic of the stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyTopic<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The stream sends every entry whose `seq` is greater than this one.
    pub position: Seq,
}

/// `presence_state`: the sessions that are present on a topic. Sent once per topic, after `ready` or after the join.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PresenceState<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The sessions that are present, in the order of session ids. The list is limited; see `truncated`.
    #[schema(value_type = Vec<Presence>)]
    pub presences: &'a RawValue,
    /// The number of sessions that are present, even if the list does not have all of them.
    pub presence_count: usize,
    /// True if `presences` does not have all sessions that are present, because there are too many. Absent if it has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub truncated: bool,
}

/// `presence`: the changes since the last presence event of this topic on this stream. Remove the sessions of `leaves` from
/// your list and add or replace those of `joins`, both by `session_id`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PresenceChange<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The sessions that have become present, or whose data has changed.
    pub joins: &'a [&'a Presence],
    /// The sessions that are not present any more.
    pub leaves: &'a [&'a Presence],
    /// The number of sessions that are present now.
    pub presence_count: usize,
    /// True if there are too many sessions for a list: then only `presence_count` is given. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub truncated: bool,
}

/// `gap`: a range of entries that the stream does not send. Read them as history, unless they were pruned. Use
/// `changes=true` if you show messages from before the gap, as they may have been edited or removed in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gap<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The `seq` of the first missing entry.
    pub from_seq: Seq,
    /// The `seq` of the last missing entry.
    pub to_seq: Seq,
    /// True if the entries were deleted because of their age. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub pruned: bool,
}

/// `left`: the join of a topic has ended, and the stream sends nothing more of it. The event has no id, so a stream that is
/// resumed before a later event with an id gets it again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Left<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The reason: `left` (the session has left the topic, or the user has left the group), `kicked`, `banned`, `blocked`
    /// or `group_deleted`.
    #[schema(example = "left")]
    pub reason: &'a str,
}

/// `activity`: there are new entries (messages, edits, removals) in a direct message that this session has not joined. Sent
/// at most once per topic and presence interval, with the newest entry. Only entries that arrive while the stream is open,
/// or while the long poll waits, cause it: read the inbox (`GET /v1/me/topics`) for earlier ones.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Activity<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The `seq` of the newest entry.
    pub last_seq: Seq,
}

/// `typing`: a user is typing, possibly the session's own user. There is no event for the end of typing: remove the sign
/// after a few seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Typing<'a> {
    /// The id of the topic.
    pub topic: &'a TopicId,
    /// The id of the user who is typing.
    pub user_id: &'a UserId,
    /// The name of the user.
    #[schema(example = "Ana")]
    pub username: &'a str,
}

/// `bye`: the stream ends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bye<'a> {
    /// The reason: `shutdown`, `max_age`, `replaced`, `expired` or `signed_out`.
    #[schema(example = "max_age")]
    pub reason: &'a str,
    /// True if the client should open a new stream.
    pub reconnect: bool,
}
