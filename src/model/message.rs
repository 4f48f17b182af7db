//! The entries of a topic's log, and their JSON form.

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
    /// Returns the seq after this one.
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
    /// A message that a user has sent.
    pub const CHAT: Self = Self(0);
    /// A user has joined the group.
    pub const GROUP_JOIN: Self = Self(1);
    /// A user was added to the group, or their request was accepted.
    pub const GROUP_ADD: Self = Self(2);
    /// A user has left the group.
    pub const GROUP_LEAVE: Self = Self(3);
    /// A user was removed from the group.
    pub const GROUP_KICK: Self = Self(4);
    /// A member was given a higher role.
    pub const GROUP_PROMOTION: Self = Self(5);
    /// An earlier message was edited.
    pub const EDIT: Self = Self(6);
    /// An earlier message was removed.
    pub const REMOVAL: Self = Self(7);
    /// A user was removed from the group, and may not join again.
    pub const GROUP_BAN: Self = Self(8);
    /// A member was given a lower role.
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

/// A rendered entry. It is rendered once; the sender's acknowledgement and every stream share the bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The seq of the entry.
    pub seq: Seq,
    /// The [`Message`] as JSON, without line breaks.
    pub json: Bytes,
    /// The effect of the entry beyond being shown.
    pub effect: Effect,
    /// True if the content differs from the content that was stored first.
    pub edited: bool,
}

/// The effect of an entry beyond being shown. It follows from the entry alone, so that every instance that reads the log
/// applies it, even if hints were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No effect.
    None,
    /// This user has lost access to the topic. The entry is the last one that they may see.
    RevokesAccess(UserId),
    /// The content of an earlier entry was removed. The entries of the topic that memory holds must not be shown any more.
    RedactsEarlier,
}

impl Message {
    /// Renders the message as JSON, and determines its effect.
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

/// The content of the entry of an edit.
#[derive(Debug, Serialize)]
pub struct Edit<'a> {
    /// The id of the edited message.
    pub message_id: MessageId,
    /// The seq of the edited message.
    pub seq: Seq,
    /// The new content of the message; `None` once the message has been removed.
    pub content: Option<&'a RawValue>,
}

/// The content of the entry of a removal.
#[derive(Debug, Serialize)]
pub struct Removal {
    /// The id of the removed message.
    pub message_id: MessageId,
    /// The seq of the removed message.
    pub seq: Seq,
}

/// An event, as JSON, that is delivered to the current listeners and never stored.
#[derive(Clone, Debug)]
pub enum EphemeralEvent {
    /// An ephemeral message.
    Message(Bytes),
    /// A user is typing.
    Typing(Bytes),
}

impl EphemeralEvent {
    /// Returns the name of the event.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Typing(_) => "typing",
        }
    }

    /// Returns the data of the event.
    pub fn json(&self) -> &Bytes {
        match self {
            Self::Message(json) | Self::Typing(json) => json,
        }
    }
}

/// Serializes one of the service's own values as JSON. They contain only maps with text keys and no part whose
/// serialization fails, so this cannot fail.
pub fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

/// Serializes one of the service's own values as JSON, as a field of a message.
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
