//! The data of a stream's events, as clients get it.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::model::{Presence, Seq, SessionId, TopicId, UserId};

/// `ready`: always first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready<'a> {
    /// Whose stream it is.
    pub session_id: SessionId,
    /// The session's user.
    pub user_id: &'a UserId,
    /// What it has joined, and where each topic goes on.
    pub topics: Vec<ReadyTopic<'a>>,
}

/// A topic of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyTopic<'a> {
    /// Which.
    pub topic: &'a TopicId,
    /// Every entry after this one follows.
    pub position: Seq,
}

/// `presence_state`: the whole list, once after `ready` and after each join.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresenceState<'a> {
    /// Where.
    pub topic: &'a TopicId,
    /// Who is there; where there are more than the list holds, the first of them.
    #[schema(value_type = Vec<Presence>)]
    pub presences: &'a RawValue,
    /// How many there are.
    pub presence_count: usize,
    /// Whether the list is not whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub truncated: bool,
}

/// `presence`: the difference since this stream's last. Add `joins` and take away `leaves`, both by `session_id`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresenceChange<'a> {
    /// Where.
    pub topic: &'a TopicId,
    /// Who has come, or has changed.
    pub joins: &'a [&'a Presence],
    /// Who has gone.
    pub leaves: &'a [&'a Presence],
    /// How many there are now.
    pub presence_count: usize,
    /// Whether there are too many for lists: then only the count is told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub truncated: bool,
}

/// `gap`: entries that the stream does not send. Read them as history, unless they were pruned; with `changes=true` where
/// messages from before the gap are shown, which may have been edited or removed in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Gap<'a> {
    /// Where.
    pub topic: &'a TopicId,
    /// The first entry that is missing.
    pub from_seq: Seq,
    /// The last one.
    pub to_seq: Seq,
    /// Whether they are gone for good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub pruned: bool,
}

/// `left`: nothing more comes from this topic. Having no id, it is told again to a stream that comes back before any
/// later id has been given out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Left<'a> {
    /// Which.
    pub topic: &'a TopicId,
    /// Why: `left` (the session has left the topic, or the user the group), `kicked`, `banned`, `blocked` or
    /// `group_deleted`.
    #[schema(example = "left")]
    pub reason: &'a str,
}

/// `activity`: something is new in a direct message that this session has not joined: a message, an edit, a removal. At
/// most one per topic per presence interval, with the newest entry; what has been joined tells by its messages. It is
/// about what happens while the stream is open, or the long poll waits: what was new before, the inbox says
/// (`GET /v1/me/topics`).
#[derive(Debug, Serialize, ToSchema)]
pub struct Activity<'a> {
    /// Where.
    pub topic: &'a TopicId,
    /// The newest entry.
    pub last_seq: Seq,
}

/// `typing`: somebody is typing, perhaps the session's own user. It says nothing about when they stop: let it fade after
/// a few seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Typing<'a> {
    /// Where.
    pub topic: &'a TopicId,
    /// Who.
    pub user_id: &'a UserId,
    /// How they are called.
    #[schema(example = "Ana")]
    pub username: &'a str,
}

/// `bye`: the stream ends.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bye<'a> {
    /// Why: `shutdown`, `max_age`, `replaced`, `expired` or `signed_out`.
    #[schema(example = "max_age")]
    pub reason: &'a str,
    /// Whether to come back.
    pub reconnect: bool,
}
