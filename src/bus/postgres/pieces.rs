//! Cuts a batch into payloads that PostgreSQL accepts, and puts the payloads together again.

use std::collections::HashMap;

use uuid::Uuid;

/// The largest payload, its header included, in bytes. PostgreSQL refuses 8,000 bytes.
const MAX_PAYLOAD_BYTES: usize = 7_900;

/// Cuts the text of a batch into payloads. The header of each is the id of the sender, the number of the batch, the number
/// of the piece within the batch, and a mark of the last piece. So the loss of a piece loses its batch, and pieces of two
/// batches are never put together.
pub(super) fn split(instance: Uuid, batch: u64, text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let header = format!("{}{batch:x}/{:x}", instance.simple(), pieces.len());
        let room = MAX_PAYLOAD_BYTES - header.len() - 1;
        let (piece, left) = rest.split_at(rest.floor_char_boundary(room));
        let mark = if left.is_empty() { LAST_PIECE } else { MORE_PIECES };
        pieces.push(format!("{header}{mark}{piece}"));
        if left.is_empty() {
            return pieces;
        }
        rest = left;
    }
}

/// Ends the header of the last piece of a batch.
const LAST_PIECE: char = '.';
/// Ends the header of any other piece.
const MORE_PIECES: char = '+';

/// Puts pieces together. Each sender has at most one batch whose pieces have not all arrived.
#[derive(Debug, Default)]
pub(super) struct Reassembler(HashMap<Uuid, PartialBatch>);

/// A batch of which the first pieces have arrived.
#[derive(Debug)]
struct PartialBatch {
    batch: u64,
    /// The number of the piece that has to follow.
    next: usize,
    text: String,
}

impl Reassembler {
    /// Adds a payload. Returns the id of the sender and the text of its batch if this was the last piece.
    pub(super) fn add(&mut self, payload: &str) -> Option<(Uuid, String)> {
        let (instance, rest) = payload.split_at_checked(32)?;
        let instance = Uuid::try_parse(instance).ok()?;
        let (at, mark) = rest.char_indices().find(|(_, c)| matches!(*c, LAST_PIECE | MORE_PIECES))?;
        let (batch, piece) = rest[..at].split_once('/')?;
        let batch = u64::from_str_radix(batch, 16).ok()?;
        let piece = usize::from_str_radix(piece, 16).ok()?;
        if piece == 0 {
            // A batch that was begun before is incomplete for ever, and is replaced.
            self.0.insert(instance, PartialBatch { batch, next: 0, text: String::new() });
        }
        let partial = self.0.get_mut(&instance).filter(|partial| partial.batch == batch && partial.next == piece)?;
        partial.text.push_str(&rest[at + 1..]);
        partial.next += 1;
        if mark == MORE_PIECES {
            return None;
        }
        self.0.remove(&instance).map(|partial| (instance, partial.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_cut_and_put_together() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for length in [0, 1, MAX_PAYLOAD_BYTES - 34, MAX_PAYLOAD_BYTES, 100_000] {
            let text = "aé\u{1F600}".repeat(length / 7);
            let cut = split(one, 77, &text);
            assert!(cut.iter().all(|piece| piece.len() < 8_000));
            let mut reassembler = Reassembler::default();
            let mut joined = Vec::new();
            for piece in &cut {
                joined.extend(reassembler.add(piece));
                // Others may come in between.
                assert_eq!(reassembler.add(&split(two, 3, "[]")[0]), Some((two, "[]".to_owned())));
            }
            assert_eq!(joined, [(one, text)]);
            assert!(reassembler.0.is_empty());
        }
    }

    #[test]
    fn equal_pieces_differ_and_what_is_broken_off_is_forgotten() {
        let instance = Uuid::from_u128(1);
        let cut = split(instance, 0, &"a".repeat(30_000));
        assert!(cut.iter().all(|one| cut.iter().filter(|other| one == *other).count() == 1));
        let mut reassembler = Reassembler::default();
        assert_eq!(reassembler.add(&cut[0]), None);
        assert_eq!(reassembler.add(&split(instance, 1, "[1]")[0]), Some((instance, "[1]".to_owned())));
        assert_eq!(reassembler.add("nothing"), None);
    }

    #[test]
    fn pieces_of_two_batches_never_make_one() {
        let instance = Uuid::from_u128(1);
        let (one, two) = (split(instance, 1, &"a".repeat(20_000)), split(instance, 2, &"b".repeat(20_000)));
        let reassembled = |payloads: &[&String]| {
            let mut reassembler = Reassembler::default();
            payloads.iter().filter_map(|payload| reassembler.add(payload)).map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert!(reassembled(&[&one[0], &one[2]]).is_empty(), "one is missing");
        assert!(reassembled(&[&one[0], &two[1], &two[2]]).is_empty(), "the beginning of another");
        assert!(reassembled(&[&one[1], &one[0], &one[2]]).is_empty(), "out of order");
        assert_eq!(reassembled(&[&one[0], &two[0], &two[1], &two[2]]), ["b".repeat(20_000)]);
        assert_eq!(reassembled(&[&one[0], &one[1], &one[2], &one[2]]), ["a".repeat(20_000)]);
    }
}
