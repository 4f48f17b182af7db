//! Ids. They are parsed once at the edge, and never checked again.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The id of a user: the `sub` of their token, 1 to 128 of `A-Z a-z 0-9 . _ @ | ~ + = -`. The ids of built-in accounts
/// begin with `~`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[schema(value_type = String, example = "ana", pattern = "^[A-Za-z0-9._@|~+=-]{1,128}$")]
pub struct UserId(Arc<str>);

impl UserId {
    /// The longest id, in characters.
    pub const MAX: usize = 128;

    /// Parses an id. Returns `None` if the text has another length or other characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@|~+=-".contains(&b));
        (fits && clean).then(|| Self(text.into()))
    }

    /// Reports whether this is the id of a built-in account. No issuer may sign a token for one.
    pub fn is_built_in(&self) -> bool {
        self.0.starts_with('~')
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a session, which is one client of one user. A UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid, example = "019aafcc-5b1e-7d03-8b6f-1f0e2ab3c4d5")]
pub(crate) struct SessionId(pub Uuid);

/// A stream of a session: a number that grows with each opening, so that the greater of two is the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamId(pub u64);

impl StreamId {
    /// The checkpoint that was stored when the stream opened. It has the same number.
    pub(crate) fn first_checkpoint(self) -> CheckpointId {
        CheckpointId(self.0)
    }

    /// The number as the database stores it.
    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// A stored row of a stream's positions, numbered per session. An event id names one, and adds what has moved since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CheckpointId(pub u64);

impl CheckpointId {
    /// The number as the database stores it.
    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// The id of a message or of another entry in the log of a topic. A UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid, example = "019aafcc-9d2c-7a51-9c3e-6a7b8c9d0e1f")]
pub(crate) struct MessageId(pub Uuid);

/// The id of a group. A UUIDv7. The topic of the group is `group:` followed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid, example = "019aafcd-0a41-7c3e-8f52-9b1d3e5f7a90")]
pub(crate) struct GroupId(pub Uuid);

impl GroupId {
    /// Parses the hyphenated form in lower case. Returns `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }
}

impl SessionId {
    /// Parses the hyphenated form in lower case. Returns `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }
}

impl MessageId {
    /// Parses the hyphenated form in lower case. Returns `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses the hyphenated form in lower case only. With two forms of one id, a topic would have two names.
fn parse_uuid(text: &str) -> Option<Uuid> {
    let plain = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
    if plain { Uuid::try_parse(text).ok() } else { None }
}
