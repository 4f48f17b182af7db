//! Cursors of lists: opaque to clients, bound to what they were given for.
//!
//! Layout, base64url without padding: 1 byte kind · 8 bytes hash of the list's owner (topic or user) · the key of the
//! last item. They are no secret: who forges one only moves within a list that they may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::message::Seq;
use super::topic::TopicId;

/// Which way history is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Newest first.
    #[default]
    Backward,
    /// Oldest first.
    Forward,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Forward => Self::Backward,
        }
    }
}

/// Goes on from an entry, in a listing of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    /// How the listing is ordered.
    pub direction: Direction,
    /// Whether this leads to the page before instead of the page after.
    pub back: bool,
    /// The entry at that end of the page at hand; the other page begins beyond it.
    pub beyond: Seq,
}

impl HistoryCursor {
    /// The cursor as clients carry it.
    pub fn encode(self, topic: &TopicId) -> String {
        encode(self.kind(), topic.as_str(), &self.beyond.0.to_be_bytes())
    }

    /// Reads a cursor that was given for this topic and direction.
    pub fn decode(text: &str, topic: &TopicId, direction: Direction) -> Option<Self> {
        [false, true].into_iter().find_map(|back| {
            let wanted = Self { direction, back, beyond: Seq(0) };
            let key: [u8; 8] = decode(wanted.kind(), topic.as_str(), text)?;
            let beyond = Seq(i64::from_be_bytes(key));
            (beyond.0 >= 0).then_some(Self { beyond, ..wanted })
        })
    }

    /// The first entry that the page may hold, in the order in which it is read.
    pub fn from(self) -> Seq {
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

/// Goes on behind this id, in a list that is ordered by ids and belongs to `owner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdCursor(pub Uuid);

impl IdCursor {
    /// The cursor as clients carry it.
    pub fn encode(self, owner: &str) -> String {
        encode(b'u', owner, self.0.as_bytes())
    }

    /// Reads a cursor of this owner's list.
    pub fn decode(text: &str, owner: &str) -> Option<Self> {
        decode(b'u', owner, text).map(|key: [u8; 16]| Self(Uuid::from_bytes(key)))
    }
}

/// Goes on behind this key, in a list that is ordered by texts and belongs to `owner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCursor(pub String);

impl KeyCursor {
    /// The longest key, in bytes: a group's name in lower case and its id.
    const MAX: usize = 1024;

    /// The cursor as clients carry it.
    pub fn encode(&self, owner: &str) -> String {
        encode(b'k', owner, self.0.as_bytes())
    }

    /// Reads a cursor of this owner's list.
    pub fn decode(text: &str, owner: &str) -> Option<Self> {
        let key = if text.len() <= Self::MAX * 4 / 3 { open(b'k', owner, text)? } else { return None };
        // No key holds a NUL, and PostgreSQL takes none.
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
    open(kind, owner, text)?.try_into().ok()
}

fn open(kind: u8, owner: &str, text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.strip_prefix(&[kind])?.strip_prefix(&hash(owner)).map(<[u8]>::to_vec)
}

/// FNV-1a, 64 bits: tells lists apart, and stays the same over versions and machines.
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
