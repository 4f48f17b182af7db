//! Topic ids: `room:NAME`, `group:UUID`, `dm:A:B`, and the caller's shorthand `dm:USER`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{GroupId, UserId};

/// The key of a topic in the database, the hub and the bus. It is shorter than the topic's id.
pub(crate) type TopicKey = i64;

/// The type of a topic. It decides who may join, send and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TopicKind {
    /// A room: it has a name and is open to all users.
    Room,
    /// The chat of a group: open to its members only.
    Group,
    /// A direct message: private to two users.
    Dm,
}

/// The canonical id of a topic: `room:NAME`, `group:UUID` or `dm:A:B`. Both users of a direct message get the same one.
// Shared, as every stream that listens to the topic holds the id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(
    value_type = String,
    example = "room:lobby",
    pattern = r"^(room:[^\x00-\x1F\x7F-\x9F]{1,128}|group:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|dm:[A-Za-z0-9._@|~+=-]{1,128}(:[A-Za-z0-9._@|~+=-]{1,128})?)$",
)]
pub(crate) struct TopicId(Arc<str>);

/// The reason why a text does not name a topic that the caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    /// The text has not the form of a topic id.
    #[error("a topic is room:NAME (1 to 128 bytes, no control characters), group:UUID, dm:USER or dm:A:B with A < B")]
    Malformed,
    /// The direct message of the caller with themselves.
    #[error("a direct message takes two users: name another one than yourself")]
    WithOneself,
    /// The direct message of two other users. For the caller it does not exist.
    #[error("there is no such topic, or you may not see it")]
    NotYours,
}

impl TopicId {
    /// The longest room name, in bytes of UTF-8.
    pub(crate) const ROOM_MAX: usize = 128;

    /// Parses a topic id that `caller` wrote. `dm:USER` is the direct message of the caller and USER.
    ///
    /// # Errors
    /// [`TopicError`] if the text is no topic id, or a direct message that the caller has no part in.
    pub(crate) fn parse(text: &str, caller: &UserId) -> Result<Self, TopicError> {
        let Some(pair) = text.strip_prefix("dm:") else {
            return Self::parse_shared(text).ok_or(TopicError::Malformed);
        };
        let user = |text| UserId::parse(text).ok_or(TopicError::Malformed);
        match pair.split_once(':') {
            None => Self::dm(caller, &user(pair)?).ok_or(TopicError::WithOneself),
            Some((a, b)) => match (user(a)?, user(b)?) {
                (a, b) if a >= b => Err(if a == b { TopicError::WithOneself } else { TopicError::Malformed }),
                (a, b) if a != *caller && b != *caller => Err(TopicError::NotYours),
                _ => Ok(Self(text.into())),
            },
        }
    }

    fn parse_shared(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let is_valid = match kind {
            "room" => (1..=Self::ROOM_MAX).contains(&name.len()) && !name.chars().any(char::is_control),
            "group" => GroupId::parse(name).is_some(),
            _ => false,
        };
        is_valid.then(|| Self(text.into()))
    }

    /// Returns the direct message of two users; `None` if both are the same user.
    pub(crate) fn dm(one: &UserId, other: &UserId) -> Option<Self> {
        match one.cmp(other) {
            std::cmp::Ordering::Less => Some(Self(format!("dm:{one}:{other}").into())),
            std::cmp::Ordering::Greater => Some(Self(format!("dm:{other}:{one}").into())),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// Reads an id from the database. It was parsed before it was stored, and is not checked again.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the kind of the topic.
    pub(crate) fn kind(&self) -> TopicKind {
        match self.0.as_bytes().first() {
            Some(b'r') => TopicKind::Room,
            Some(b'g') => TopicKind::Group,
            _ => TopicKind::Dm,
        }
    }

    /// Returns the topic of a group.
    pub(crate) fn group(group: GroupId) -> Self {
        Self(format!("group:{group}").into())
    }

    /// Returns the group whose topic it is; `None` for other topics.
    pub(crate) fn group_id(&self) -> Option<GroupId> {
        GroupId::parse(self.0.strip_prefix("group:")?)
    }

    /// Returns the name of a room; `None` for other topics.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.strip_prefix("room:")
    }

    /// Returns the two users of a direct message, in the order of the id; `None` for other topics.
    pub(crate) fn dm_users(&self) -> Option<(UserId, UserId)> {
        let (a, b) = self.0.strip_prefix("dm:")?.split_once(':')?;
        Some((UserId::parse(a)?, UserId::parse(b)?))
    }

    /// Returns the id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, TopicError> {
        let ana = UserId::parse("ana").expect("an id");
        TopicId::parse(text, &ana).map(|t| t.as_str().to_owned())
    }

    #[test]
    fn one_spelling_for_each_topic() {
        assert_eq!(parse("room:a/b c:d"), Ok("room:a/b c:d".into()));
        assert_eq!(parse("dm:bob"), Ok("dm:ana:bob".into()));
        assert_eq!(parse("dm:ana:bob"), Ok("dm:ana:bob".into()));
        assert_eq!(parse("dm:bob:ana"), Err(TopicError::Malformed));
        assert_eq!(parse("dm:ana"), Err(TopicError::WithOneself));
        assert_eq!(parse("dm:bob:cleo"), Err(TopicError::NotYours));
        assert_eq!(parse("dm:~a"), Ok("dm:ana:~a".into()));
        let group = "group:0190a5b0-7c00-7000-8000-000000000000";
        assert_eq!(parse(group), Ok(group.into()));
        for bad in
            ["", "room", "room:", "room:a\nb", "group:1", "group:0190A5B0-7c00-7000-8000-000000000000", "dm:", "x:y"]
        {
            assert_eq!(parse(bad), Err(TopicError::Malformed), "{bad:?}");
        }
        assert_eq!(parse(&format!("room:{}", "é".repeat(64))), Ok(format!("room:{}", "é".repeat(64))));
        assert_eq!(parse(&format!("room:{}x", "é".repeat(64))), Err(TopicError::Malformed));
    }
}
