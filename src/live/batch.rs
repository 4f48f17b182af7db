//! A batch: the entries of one topic that the fan-out delivers to every listener in one write.

use crate::model::{Entry, Seq};

/// The bytes of JSON after which a batch takes no further entry; the last entry may exceed it.
pub(super) const BATCH_BYTES: usize = 16 * 1024;

/// Consecutive entries of a topic. A batch without entries reports that the log has grown by entries that are not in memory.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// The entry before the first one.
    pub(super) after: Seq,
    pub(super) entries: Vec<Entry>,
    /// The topic's count of redactions when the batch was made.
    pub(super) redactions: u64,
}

impl Batch {
    /// The last entry, or the one before where there is none.
    pub(super) fn end(&self) -> Seq {
        self.entries.last().map_or(self.after, |entry| entry.seq)
    }
}
