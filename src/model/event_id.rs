//! The `id:` of a stream's events. It holds the stream's position in each of its topics, so that any instance can continue
//! the stream.
//!
//! An id names a *checkpoint*, an immutable stored row (session, number, positions), and lists the joins that have moved
//! since the checkpoint was stored. Layout, in base64url without padding: 4 bytes tag (the database's epoch and the
//! session, so that an id of another database or session is ignored) · 1 byte kind · varint checkpoint · varint count and
//! that many pairs (varint step of the join number, varint progress) · for a long poll, the same with pairs (varint step
//! of the join number, 3 bytes presence digest).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ids::{CheckpointId, SessionId};
use super::message::Seq;
use super::varint;

/// The number of a join. It is small, and never used twice in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JoinNumber(pub u32);

/// A digest of a topic's presence list, 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PresenceDigest(pub u32);

/// The progress of a stream in one join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything up to this entry has been sent.
    SentUpTo(Seq),
    /// The client has been told that the join has ended.
    EndSent,
}

/// A decoded id. Each list is sorted by join number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The checkpoint that the id adds to. For [`EventIdKind::Replaced`], the first checkpoint of its stream.
    pub checkpoint: CheckpointId,
    /// The joins that have moved since the checkpoint.
    pub moved: Vec<(JoinNumber, Progress)>,
    /// The presence of each topic when a long poll ended; empty on a stream.
    pub digests: Vec<(JoinNumber, PresenceDigest)>,
    /// The purpose of the id.
    pub kind: EventIdKind,
}

/// The purpose of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventIdKind {
    /// The positions to continue a stream from.
    Position,
    /// The mark of a stream that another one has replaced. A client that brings it back must not reconnect.
    Replaced,
}

/// The tag that binds ids to one session of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdTag([u8; 4]);

impl IdTag {
    /// Returns the tag of a session's ids. `epoch` is a random number that was created with the database.
    pub(crate) fn new(epoch: u32, session: SessionId) -> Self {
        // The last 8 bytes of a UUIDv7 are random.
        let random = session.0.as_bytes();
        let fold = |i: usize| random[8 + i] ^ random[12 + i].rotate_left(3);
        let epoch = epoch.to_be_bytes();
        Self(std::array::from_fn(|i| epoch[i] ^ fold(i)))
    }
}

/// The longest id that is decoded, in characters. The ids that the server issues are shorter than 2,000.
const MAX_ID_CHARS: usize = 4096;

impl EventId {
    /// Appends the text of an id to `out`. `scratch` is a buffer that is reused to save an allocation, as this runs once per
    /// delivery.
    pub(crate) fn write(
        tag: IdTag,
        kind: EventIdKind,
        checkpoint: CheckpointId,
        moved: &[(JoinNumber, Progress)],
        digests: &[(JoinNumber, PresenceDigest)],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        scratch.extend_from_slice(&tag.0);
        scratch.push(match kind {
            EventIdKind::Position => 0,
            EventIdKind::Replaced => 1,
        });
        varint::put(scratch, checkpoint.0);
        put_positions(scratch, moved);
        if !digests.is_empty() {
            varint::put(scratch, digests.len() as u64);
            let mut last = 0;
            for &(join_number, digest) in digests {
                varint::put(scratch, u64::from(join_number.0 - last));
                scratch.extend_from_slice(&digest.0.to_be_bytes()[1..]);
                last = join_number.0;
            }
        }
        let start = out.len();
        out.resize(start + scratch.len().div_ceil(3) * 4, 0);
        let written = URL_SAFE_NO_PAD.encode_slice(&scratch, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }

    /// Returns the text of this id, in memory of its own. Streams call [`Self::write`].
    #[cfg(test)]
    pub(crate) fn encode(&self, tag: IdTag) -> String {
        let mut out = Vec::new();
        Self::write(tag, self.kind, self.checkpoint, &self.moved, &self.digests, &mut Vec::new(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Decodes an id of the session that `tag` belongs to. Returns `None` for any other text.
    pub(crate) fn decode(tag: IdTag, text: &str) -> Option<Self> {
        if text.len() > MAX_ID_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut rest = bytes.strip_prefix(&tag.0)?;
        let kind = match take_byte(&mut rest)? {
            0 => EventIdKind::Position,
            1 => EventIdKind::Replaced,
            _ => return None,
        };
        let checkpoint = CheckpointId(varint::take(&mut rest)?);
        let moved = take_positions(&mut rest)?;
        let digests = if rest.is_empty() { Vec::new() } else { take_digests(&mut rest)? };
        rest.is_empty().then_some(Self { checkpoint, moved, digests, kind })
    }
}

/// Encodes positions as the row of a checkpoint stores them.
pub(crate) fn positions_to_bytes(positions: &[(JoinNumber, Progress)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + positions.len() * 4);
    put_positions(&mut out, positions);
    out
}

/// Decodes the bytes of [`positions_to_bytes`]. Returns `None` for any other bytes.
pub(crate) fn positions_from_bytes(mut bytes: &[u8]) -> Option<Vec<(JoinNumber, Progress)>> {
    let positions = take_positions(&mut bytes)?;
    bytes.is_empty().then_some(positions)
}

fn put_positions(out: &mut Vec<u8>, positions: &[(JoinNumber, Progress)]) {
    varint::put(out, positions.len() as u64);
    let mut last = 0;
    for &(join_number, progress) in positions {
        let progress = match progress {
            Progress::EndSent => 0,
            Progress::SentUpTo(seq) => seq.0.unsigned_abs().saturating_add(1),
        };
        varint::put(out, u64::from(join_number.0 - last));
        varint::put(out, progress);
        last = join_number.0;
    }
}

fn take_positions(rest: &mut &[u8]) -> Option<Vec<(JoinNumber, Progress)>> {
    take_list(rest, |rest| {
        Some(match varint::take(rest)? {
            0 => Progress::EndSent,
            n => Progress::SentUpTo(Seq(i64::try_from(n - 1).ok()?)),
        })
    })
}

fn take_digests(rest: &mut &[u8]) -> Option<Vec<(JoinNumber, PresenceDigest)>> {
    let digests = take_list(rest, |rest| {
        let (head, tail) = rest.split_first_chunk::<3>()?;
        *rest = tail;
        Some(PresenceDigest(u32::from_be_bytes([0, head[0], head[1], head[2]])))
    })?;
    (!digests.is_empty()).then_some(digests)
}

/// Takes a list with its count. The join numbers must be strictly ascending.
fn take_list<T>(rest: &mut &[u8], take: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<(JoinNumber, T)>> {
    let count = usize::try_from(varint::take(rest)?).ok()?;
    if count > rest.len() {
        return None; // every item has at least one byte, so the count is wrong: nothing is allocated for it
    }
    let mut list = Vec::with_capacity(count);
    let mut last = 0u32;
    for i in 0..count {
        let step = u32::try_from(varint::take(rest)?).ok()?;
        if i > 0 && step == 0 {
            return None;
        }
        last = last.checked_add(step)?;
        list.push((JoinNumber(last), take(rest)?));
    }
    Some(list)
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tag() -> IdTag {
        IdTag::new(7, SessionId(Uuid::from_u128(0x0190_a5b0_7c00_7000_8000_0000_0000_0001)))
    }

    fn progress() -> impl Strategy<Value = Progress> {
        prop_oneof![Just(Progress::EndSent), (0..i64::MAX).prop_map(|n| Progress::SentUpTo(Seq(n)))]
    }

    prop_compose! {
        fn event_id()(
            checkpoint in any::<u64>(),
            moved in proptest::collection::btree_map(any::<u32>(), progress(), 0..40),
            digests in proptest::collection::btree_map(any::<u32>(), 0u32..1 << 24, 0..40),
            replaced in any::<bool>(),
        ) -> EventId {
            let numbered = |(number, value)| (JoinNumber(number), value);
            EventId {
                checkpoint: CheckpointId(checkpoint),
                moved: moved.into_iter().map(numbered).collect(),
                digests: digests.into_iter().map(|(number, digest)| (JoinNumber(number), PresenceDigest(digest))).collect(),
                kind: if replaced { EventIdKind::Replaced } else { EventIdKind::Position },
            }
        }
    }

    proptest! {
        #[test]
        fn round_trips(id in event_id()) {
            prop_assert_eq!(EventId::decode(tag(), &id.encode(tag())), Some(id));
        }

        #[test]
        fn has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut whole = tag().0.to_vec();
            whole.extend(bytes);
            let text = URL_SAFE_NO_PAD.encode(&whole);
            if let Some(id) = EventId::decode(tag(), &text) {
                prop_assert_eq!(id.encode(tag()), text);
            }
        }

        #[test]
        fn garbage_is_none(text in ".{0,200}") {
            prop_assert_eq!(EventId::decode(tag(), &text), None);
        }

        #[test]
        fn of_another_session_or_database_is_none(id in event_id(), session in any::<u128>(), epoch in any::<u32>()) {
            let other = IdTag::new(epoch, SessionId(Uuid::from_u128(session)));
            prop_assume!(other != tag());
            prop_assert_eq!(EventId::decode(other, &id.encode(tag())), None);
        }

        #[test]
        fn stored_positions_round_trip(map in proptest::collection::btree_map(any::<u32>(), progress(), 0..300)) {
            let map: BTreeMap<u32, Progress> = map;
            let positions: Vec<_> = map.into_iter().map(|(number, progress)| (JoinNumber(number), progress)).collect();
            prop_assert_eq!(positions_from_bytes(&positions_to_bytes(&positions)), Some(positions));
        }
    }

    #[test]
    fn sixteen_moved_topics_stay_short() {
        let moved: Vec<_> = (1..=16).map(|n| (JoinNumber(n * 12), Progress::SentUpTo(Seq(1_000_000)))).collect();
        let id =
            EventId { checkpoint: CheckpointId(1_000_000), moved, digests: Vec::new(), kind: EventIdKind::Position };
        assert!(id.encode(tag()).len() < 200, "{}", id.encode(tag()).len());
    }
}
