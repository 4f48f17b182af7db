//! The entries of a topic's log, and their one JSON form.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ids::{MessageId, UserId};
use super::time::Millis;
use super::topic::TopicId;

/// The number of an entry in its topic's log: dense from 1, without holes. 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = i64, minimum = 0, example = 42)]
pub struct Seq(pub i64);

impl Seq {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What kind of entry it is: 0 what a user has sent · 1 somebody has joined the group · 2 was added to it · 3 has left it ·
/// 4 was removed from it · 5 was given a higher role · 6 an earlier message was edited · 7 an earlier message was
/// removed · 8 somebody was banned from the group · 9 was given a lower role. There may be more: skip what you do not
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = i16, minimum = 0, maximum = 9, example = 0)]
pub struct Code(pub i16);

impl Code {
    /// What a user has sent.
    pub const CHAT: Self = Self(0);
    /// Somebody has joined the group.
    pub const GROUP_JOIN: Self = Self(1);
    /// Somebody was added to the group, or their request was accepted.
    pub const GROUP_ADD: Self = Self(2);
    /// Somebody has left the group.
    pub const GROUP_LEAVE: Self = Self(3);
    /// Somebody was removed from the group.
    pub const GROUP_KICK: Self = Self(4);
    /// Somebody was given a higher role.
    pub const GROUP_PROMOTION: Self = Self(5);
    /// An earlier message was changed.
    pub const EDIT: Self = Self(6);
    /// An earlier message was removed.
    pub const REMOVAL: Self = Self(7);
    /// Somebody was removed from the group, and may not come back.
    pub const GROUP_BAN: Self = Self(8);
    /// Somebody was given a lower role.
    pub const GROUP_DEMOTION: Self = Self(9);
}

/// A user as every answer shows one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// Who it is.
    pub user_id: UserId,
    /// How they are called; in a message, how they were called when they sent it.
    #[schema(value_type = String, example = "Ana")]
    pub username: Box<str>,
}

/// One entry, in the order of fields in which clients get it: in the acknowledgement, in history, on the stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019aafcc-9d2c-7a51-9c3e-6a7b8c9d0e1f",
    "topic": "room:lobby",
    "seq": 42,
    "code": 0,
    "sender": {"user_id": "ana", "username": "Ana"},
    "content": {"text": "hello"},
    "created_at": "2026-01-31T09:30:00.000Z",
}))]
pub struct Message {
    /// Unique over all topics.
    pub id: MessageId,
    /// Where it was said.
    pub topic: TopicId,
    /// Its place there.
    pub seq: Seq,
    /// Its kind.
    pub code: Code,
    /// Who said it; in what a group tells of itself, whom it is about.
    pub sender: User,
    /// What was said, to the byte; `null` once removed. In what a group tells of itself (codes 1 to 5, 8 and 9) it is
    /// `{"user", "by"}`: whom it is about, and who did it, both `{"user_id", "username"}`; with the new `"role"` where it
    /// was changed (5 and 9). Of an edit (code 6) it is `{"message_id", "seq", "content"}`: which message, and what it
    /// says from then on, `null` once it was removed; of a removal (code 7) `{"message_id", "seq"}`.
    #[schema(value_type = Value)]
    pub content: Box<RawValue>,
    /// When the server took it; never runs backwards within a topic.
    pub created_at: Millis,
    /// When its author edited it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub edited_at: Option<Millis>,
    /// When it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub removed_at: Option<Millis>,
}

/// An entry rendered once, whoever shows it afterwards: the sender's acknowledgement and every stream share the bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub seq: Seq,
    /// A [`Message`] as JSON, without line breaks.
    pub json: Bytes,
    /// What it does to those who read on.
    pub effect: Effect,
    /// Whether it says something else than when it was stored.
    pub edited: bool,
}

/// What an entry does beyond being shown. It follows from the entry alone, so that every instance that reads the log
/// knows it, whatever hints were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// This user has lost the topic: it is the last entry that they may see.
    RevokesAccess(UserId),
    /// An earlier entry has lost its content: what memory holds of the topic is not to be shown any more.
    RedactsEarlier,
}

impl Message {
    /// Renders it.
    pub fn render(&self) -> Entry {
        let effect = match self.code {
            Code::GROUP_LEAVE | Code::GROUP_KICK | Code::GROUP_BAN => {
                Effect::RevokesAccess(self.sender.user_id.clone())
            }
            Code::REMOVAL => Effect::RedactsEarlier,
            _ => Effect::None,
        };
        Entry { seq: self.seq, json: to_json(self), effect, edited: self.edited_at.is_some() }
    }
}

/// The content of an edit: which message, and what it says from then on; nothing, once that message has been removed.
#[derive(Debug, Serialize)]
pub struct Edit<'a> {
    /// Which.
    pub message_id: MessageId,
    /// Its place.
    pub seq: Seq,
    /// What it says.
    pub content: Option<&'a RawValue>,
}

/// The content of a removal: which message.
#[derive(Debug, Serialize)]
pub struct Removal {
    /// Which.
    pub message_id: MessageId,
    /// Its place.
    pub seq: Seq,
}

/// What is told to those who listen at that moment, as JSON, and stored nowhere.
#[derive(Clone, Debug)]
pub enum EphemeralEvent {
    /// An ephemeral message.
    Message(Bytes),
    /// Somebody is typing.
    Typing(Bytes),
}

impl EphemeralEvent {
    /// The event's name.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Typing(_) => "typing",
        }
    }

    /// The event's data.
    pub fn json(&self) -> &Bytes {
        match self {
            Self::Message(json) | Self::Typing(json) => json,
        }
    }
}

/// A value of our own as JSON. They have no maps with other keys than texts and no failing parts, so this cannot fail.
pub fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

/// A value of our own as JSON to be kept in a message.
pub fn to_raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What is delivered to those who listen at that moment, and never stored: a message without id and seq.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // in the contract, this tells it from a stored message
#[schema(as = Ephemeral, example = json!({
    "topic": "room:lobby",
    "code": 0,
    "sender": {"user_id": "ana", "username": "Ana"},
    "content": {"reaction": "👍"},
    "created_at": "2026-01-31T09:30:00.000Z",
}))]
pub struct EphemeralMessage {
    /// Where it is said.
    pub topic: TopicId,
    /// Its kind.
    pub code: Code,
    /// Who says it.
    pub sender: User,
    /// What is said.
    #[schema(value_type = Value)]
    pub content: Box<RawValue>,
    /// When the server took it.
    pub created_at: Millis,
}
