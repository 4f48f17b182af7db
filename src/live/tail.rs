//! The tail: the newest entries of an active topic, without gaps, in memory.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use crate::model::{Entry, Seq};

/// The most entries that a tail holds.
const TAIL_ENTRIES: usize = 256;
/// The most bytes of JSON that a tail holds; a single entry may be larger.
const TAIL_BYTES: usize = 256 * 1024;

/// Entries with consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    /// Adds the entry that follows the last one. Any other entry replaces the tail.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.back().is_some_and(|last| last.seq.next() != entry.seq) {
            self.clear();
        }
        self.bytes += entry.json.len();
        self.entries.push_back(entry);
        while self.entries.len() > TAIL_ENTRIES || (self.bytes > TAIL_BYTES && self.entries.len() > 1) {
            self.drop_oldest();
        }
    }

    /// The entries after `position`; `None` if the tail does not reach back that far.
    pub(super) fn after(&self, position: Seq) -> Option<Iter<'_, Entry>> {
        let first = self.entries.front()?.seq;
        let skip = usize::try_from(position.0 + 1 - first.0).ok()?;
        (skip <= self.entries.len()).then(|| self.entries.range(skip..))
    }

    /// The entries after the last one: none.
    pub(super) fn none(&self) -> Iter<'_, Entry> {
        self.entries.range(self.entries.len()..)
    }

    /// Drops all entries and their memory.
    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    /// Drops the entries up to this one.
    pub(super) fn drop_up_to(&mut self, seq: Seq) {
        while self.entries.front().is_some_and(|entry| entry.seq <= seq) {
            self.drop_oldest();
        }
    }

    /// The size, in bytes of JSON.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.json.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::Effect;

    fn entry(seq: i64, size: usize) -> Entry {
        Entry { seq: Seq(seq), json: Bytes::from(vec![b'x'; size]), effect: Effect::None, edited: false }
    }

    fn after(tail: &Tail, position: i64) -> Option<Vec<i64>> {
        tail.after(Seq(position)).map(|entries| entries.map(|e| e.seq.0).collect())
    }

    #[test]
    fn reads_on_from_any_position_that_it_reaches() {
        let mut tail = Tail::default();
        assert_eq!(after(&tail, 0), None);
        (5..=8).for_each(|seq| tail.push(entry(seq, 1)));
        assert_eq!(after(&tail, 3), None);
        assert_eq!(after(&tail, 4), Some(vec![5, 6, 7, 8]));
        assert_eq!(after(&tail, 7), Some(vec![8]));
        assert_eq!(after(&tail, 8), Some(vec![]));
        assert_eq!(after(&tail, 9), None);
        tail.push(entry(10, 1));
        assert_eq!(after(&tail, 8), None);
        assert_eq!(after(&tail, 9), Some(vec![10]));
    }

    #[test]
    fn is_bounded_in_entries_and_bytes() {
        let mut tail = Tail::default();
        (1..=1000).for_each(|seq| tail.push(entry(seq, 1)));
        assert_eq!(after(&tail, 1000 - 256).map(|e| e.len()), Some(256));
        assert_eq!(after(&tail, 1000 - 257), None);
        (1001..=1100).for_each(|seq| tail.push(entry(seq, 16 * 1024)));
        assert!(tail.bytes() <= TAIL_BYTES);
        tail.push(entry(1101, TAIL_BYTES * 2));
        assert_eq!(after(&tail, 1100), Some(vec![1101]));
    }
}
