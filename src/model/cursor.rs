//! Cursors of lists: opaque to clients, and bound to the list that they were issued for.
//!
//! Layout, in base64url without padding: 1 byte kind · 8 bytes hash of the list's owner (a topic or a user) · the key of
//! the last item. They are not signed: a client that forges one only moves within a list that it may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::message::Seq;
use super::topic::TopicId;

/// The order in which history is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Newest first.
    #[default]
    Backward,
    /// Oldest first.
    Forward,
}

impl Direction {
    /// Returns the other direction.
    #[must_use]
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Forward => Self::Backward,
        }
    }
}

/// The position of a page of history, in a listing of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryCursor {
    /// The order of the listing.
    pub direction: Direction,
    /// True if the cursor leads to the page before the one it was issued with, false if it leads to the page after it.
    pub back: bool,
    /// The entry at that end of the page it was issued with. The other page begins next to this entry.
    pub beyond: Seq,
}

impl HistoryCursor {
    /// Encodes the cursor for a client.
    pub(crate) fn encode(self, topic: &TopicId) -> String {
        encode(self.kind(), topic.as_str(), &self.beyond.0.to_be_bytes())
    }

    /// Decodes a cursor of this topic and direction. Returns `None` for any other text.
    pub(crate) fn decode(text: &str, topic: &TopicId, direction: Direction) -> Option<Self> {
        [false, true].into_iter().find_map(|back| {
            let wanted = Self { direction, back, beyond: Seq(0) };
            let key: [u8; 8] = decode(wanted.kind(), topic.as_str(), text)?;
            let beyond = Seq(i64::from_be_bytes(key));
            (beyond.0 >= 0).then_some(Self { beyond, ..wanted })
        })
    }

    /// Returns the first entry that the page may hold, in the order in which it is read.
    pub(crate) fn from(self) -> Seq {
        let ascending = (self.direction == Direction::Forward) != self.back;
        Seq(self.beyond.0.saturating_add(if ascending { 1 } else { -1 }))
    }

    fn kind(self) -> u8 {
        match (self.direction, self.back) {
            (Direction::Backward, false) => b'b',
            (Direction::Backward, true) => b'B',
            (Direction::Forward, false) => b'f',
            (Direction::Forward, true) => b'F',
        }
    }
}

/// The last id of a page, in a list that is ordered by ids and belongs to `owner`. The next page starts after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdCursor(pub Uuid);

impl IdCursor {
    /// Encodes the cursor for a client.
    pub(crate) fn encode(self, owner: &str) -> String {
        encode(b'u', owner, self.0.as_bytes())
    }

    /// Decodes a cursor of this owner's list. Returns `None` for any other text.
    pub(crate) fn decode(text: &str, owner: &str) -> Option<Self> {
        decode(b'u', owner, text).map(|key: [u8; 16]| Self(Uuid::from_bytes(key)))
    }
}

/// The last key of a page, in a list that is ordered by texts and belongs to `owner`. The next page starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyCursor(pub String);

impl KeyCursor {
    /// The longest key, in bytes: the name of a group in lower case, and its id.
    const MAX_BYTES: usize = 1024;

    /// Encodes the cursor for a client.
    pub(crate) fn encode(&self, owner: &str) -> String {
        encode(b'k', owner, self.0.as_bytes())
    }

    /// Decodes a cursor of this owner's list. Returns `None` for any other text.
    pub(crate) fn decode(text: &str, owner: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES * 4 / 3 {
            return None;
        }
        let key = decode_bytes(b'k', owner, text)?;
        // No key contains a NUL, and PostgreSQL refuses texts that do.
        String::from_utf8(key).ok().filter(|key| !key.contains('\0')).map(Self)
    }
}

fn encode(kind: u8, owner: &str, key: &[u8]) -> String {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&hash(owner));
    bytes.extend_from_slice(key);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<const N: usize>(kind: u8, owner: &str, text: &str) -> Option<[u8; N]> {
    if text.len() > 64 {
        return None;
    }
    decode_bytes(kind, owner, text)?.try_into().ok()
}

fn decode_bytes(kind: u8, owner: &str, text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.strip_prefix(&[kind])?.strip_prefix(&hash(owner)).map(<[u8]>::to_vec)
}

/// Hashes the owner by FNV-1a with 64 bits: different for different lists, and the same in all versions and on all
/// machines.
fn hash(owner: &str) -> [u8; 8] {
    let hash = owner.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(seq in 0..i64::MAX, id in any::<u128>(), forward in any::<bool>(), back in any::<bool>()) {
            let topic = TopicId::stored("room:a");
            let direction = if forward { Direction::Forward } else { Direction::Backward };
            let cursor = HistoryCursor { direction, back, beyond: Seq(seq) };
            prop_assert_eq!(HistoryCursor::decode(&cursor.encode(&topic), &topic, direction), Some(cursor));
            let cursor = IdCursor(Uuid::from_u128(id));
            prop_assert_eq!(IdCursor::decode(&cursor.encode("ana"), "ana"), Some(cursor));
            let cursor = KeyCursor(format!("Ä{seq}\n{id}"));
            prop_assert_eq!(KeyCursor::decode(&cursor.encode("ana"), "ana"), Some(cursor.clone()));
            prop_assert_eq!(KeyCursor::decode(&cursor.encode("ana"), "bea"), None);
        }

        #[test]
        fn elsewhere_it_is_none(seq in 0..i64::MAX, garbage in ".{0,80}") {
            let (here, there) = (TopicId::stored("room:a"), TopicId::stored("room:b"));
            let text = HistoryCursor { direction: Direction::Forward, back: false, beyond: Seq(seq) }.encode(&here);
            prop_assert_eq!(HistoryCursor::decode(&text, &there, Direction::Forward), None);
            prop_assert_eq!(HistoryCursor::decode(&text, &here, Direction::Backward), None);
            prop_assert_eq!(IdCursor::decode(&text, "room:a"), None);
            prop_assert_eq!(HistoryCursor::decode(&garbage, &here, Direction::Forward), None);
        }
    }
}
