//! The entries of a topic's log, and their JSON form.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ids::{MessageId, UserId};
use super::time::Millis;
use super::topic::TopicId;

/// The number of an entry in the log of its topic: 1, 2, 3 and so on, without gaps. 0 is the position before the first
/// entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = i64, minimum = 0, example = 42)]
pub(crate) struct Seq(pub i64);

impl Seq {
    /// Returns the seq after this one.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The kind of an entry: 0 a message of a user · 1 a user joined the group · 2 a user was added to the group · 3 a user left
/// the group · 4 a user was removed from the group · 5 a member got a higher role · 6 an earlier message was edited · 7 an
/// earlier message was removed · 8 a user was banned from the group · 9 a member got a lower role. Later versions may add
/// codes: ignore entries with an unknown code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = i16, minimum = 0, maximum = 9, example = 0)]
pub(crate) struct Code(pub i16);

impl Code {
    /// A message that a user has sent.
    pub(crate) const CHAT: Self = Self(0);
    /// A user has joined the group.
    pub(crate) const GROUP_JOIN: Self = Self(1);
    /// A user was added to the group, or their request was accepted.
    pub(crate) const GROUP_ADD: Self = Self(2);
    /// A user has left the group.
    pub(crate) const GROUP_LEAVE: Self = Self(3);
    /// A user was removed from the group.
    pub(crate) const GROUP_KICK: Self = Self(4);
    /// A member was given a higher role.
    pub(crate) const GROUP_PROMOTION: Self = Self(5);
    /// An earlier message was edited.
    pub(crate) const EDIT: Self = Self(6);
    /// An earlier message was removed.
    pub(crate) const REMOVAL: Self = Self(7);
    /// A user was removed from the group, and may not join again.
    pub(crate) const GROUP_BAN: Self = Self(8);
    /// A member was given a lower role.
    pub(crate) const GROUP_DEMOTION: Self = Self(9);
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct User {
    /// The id of the user.
    pub user_id: UserId,
    /// The name of the user; in a message, the name that they had when they sent it.
    #[schema(value_type = String, example = "Ana")]
    pub username: Box<str>,
}

/// A message, or another entry in the log of a topic. It is the same in acknowledgements, in history and on streams.
// The fields are in the order in which clients get them.
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
pub(crate) struct Message {
    /// The id of the message, unique among all topics.
    pub id: MessageId,
    /// The id of the topic.
    pub topic: TopicId,
    /// The number of the entry in the topic.
    pub seq: Seq,
    /// The kind of the entry.
    pub code: Code,
    /// The user who sent the message; in an entry of a group (codes 1 to 5, 8 and 9), the user whom it is about.
    pub sender: User,
    /// The content as it was sent, except for white space outside of strings; `null` if the message was removed. In an entry
    /// of a group (codes 1 to 5, 8 and 9) it is `{"user", "by"}`: the user whom it is about and the user who did it, both `{"user_id", "username"}`,
    /// with the new `"role"` in codes 5 and 9. In an edit (code 6) it is `{"message_id", "seq", "content"}`: the edited
    /// message and its new content, which is `null` if the message was removed later. In a removal (code 7) it is
    /// `{"message_id", "seq"}`.
    #[schema(value_type = Value)]
    pub content: Box<RawValue>,
    /// The time at which the service accepted the message. Within a topic it never decreases.
    pub created_at: Millis,
    /// The time of the last edit; absent if the message was never edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub edited_at: Option<Millis>,
    /// The time of the removal; absent if the message was not removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub removed_at: Option<Millis>,
}

/// A rendered entry. It is rendered once; the sender's acknowledgement and every stream share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
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
pub(crate) enum Effect {
    /// No effect.
    None,
    /// This user has lost access to the topic. The entry is the last one that they may see.
    RevokesAccess(UserId),
    /// The content of an earlier entry was removed. The entries of the topic that memory holds must not be shown any more.
    RedactsEarlier,
}

impl Message {
    /// Renders the message as JSON, and determines its effect.
    pub(crate) fn render(&self) -> Entry {
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
pub(crate) struct Edit<'a> {
    /// The id of the edited message.
    pub message_id: MessageId,
    /// The seq of the edited message.
    pub seq: Seq,
    /// The new content of the message; `None` once the message has been removed.
    pub content: Option<&'a RawValue>,
}

/// The content of the entry of a removal.
#[derive(Debug, Serialize)]
pub(crate) struct Removal {
    /// The id of the removed message.
    pub message_id: MessageId,
    /// The seq of the removed message.
    pub seq: Seq,
}

/// An event, as JSON, that is delivered to the current listeners and never stored.
#[derive(Clone, Debug)]
pub(crate) enum EphemeralEvent {
    /// An ephemeral message.
    Message(Bytes),
    /// A user is typing.
    Typing(Bytes),
}

impl EphemeralEvent {
    /// Returns the name of the event.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Typing(_) => "typing",
        }
    }

    /// Returns the data of the event.
    pub(crate) fn json(&self) -> &Bytes {
        match self {
            Self::Message(json) | Self::Typing(json) => json,
        }
    }
}

/// Serializes one of the service's own values as JSON. They contain only maps with text keys and no part whose
/// serialization fails, so this cannot fail.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

/// Serializes one of the service's own values as JSON, as a field of a message.
pub(crate) fn to_raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// An ephemeral message: delivered to the streams that are open at that moment, and never stored. It has no id and no seq.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // in the contract, this tells it from a stored message
#[schema(as = Ephemeral, example = json!({
    "topic": "room:lobby",
    "code": 0,
    "sender": {"user_id": "ana", "username": "Ana"},
    "content": {"reaction": "👍"},
    "created_at": "2026-01-31T09:30:00.000Z",
}))]
pub(crate) struct EphemeralMessage {
    /// The id of the topic.
    pub topic: TopicId,
    /// The kind of the message, always 0.
    pub code: Code,
    /// The user who sent the message.
    pub sender: User,
    /// The content as it was sent, except for white space outside of strings.
    #[schema(value_type = Value)]
    pub content: Box<RawValue>,
    /// The time at which the service accepted the message.
    pub created_at: Millis,
}
