//! The positions of a stream, as its event ids express them: a checkpoint, and what has moved since.

use std::collections::BTreeMap;

use crate::model::event_id::{EventId, EventIdKind, IdTag, JoinNumber, PresenceDigest, Progress};
use crate::model::{CheckpointId, Seq, StreamId};

/// The number of joins that an event id names besides its checkpoint; with more, a new checkpoint is stored.
pub(super) const MOVED_BEFORE_CHECKPOINT: usize = 16;
/// The most joins that an event id names: more would make ids too long, so the stream waits for the checkpoint.
pub(super) const MOVED_LIMIT: usize = 128;

/// The checkpoint that event ids name, and the joins that have moved since.
#[derive(Debug)]
pub(super) struct Positions {
    tag: IdTag,
    checkpoint: CheckpointId,
    /// Ascending by join number.
    moved: Vec<(JoinNumber, Progress)>,
}

impl Positions {
    pub(super) fn new(tag: IdTag, checkpoint: CheckpointId) -> Self {
        Self { tag, checkpoint, moved: Vec::new() }
    }

    /// Records that the stream has sent the topic of this join up to `seq`.
    pub(super) fn set_sent_up_to(&mut self, join_number: JoinNumber, seq: Seq) {
        self.set(join_number, Progress::SentUpTo(seq));
    }

    /// Records that the stream has sent that this join has ended.
    pub(super) fn set_end_sent(&mut self, join_number: JoinNumber) {
        self.set(join_number, Progress::EndSent);
    }

    fn set(&mut self, join_number: JoinNumber, progress: Progress) {
        match self.moved.binary_search_by_key(&join_number, |(join_number, _)| *join_number) {
            Ok(i) => self.moved[i].1 = progress,
            Err(i) => self.moved.insert(i, (join_number, progress)),
        }
    }

    /// The number of joins that have moved since the checkpoint.
    pub(super) fn moved_count(&self) -> usize {
        self.moved.len()
    }

    /// Appends the event id of these positions to `out`.
    pub(super) fn write_id(&self, digests: &[(JoinNumber, PresenceDigest)], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        EventId::write(self.tag, EventIdKind::Position, self.checkpoint, &self.moved, digests, scratch, out);
    }

    /// Appends the event id of a stream that was replaced to `out`.
    pub(super) fn write_replaced(&self, stream: StreamId, out: &mut Vec<u8>) {
        EventId::write(self.tag, EventIdKind::Replaced, stream.first_checkpoint(), &[], &[], &mut Vec::new(), out);
    }

    /// Makes ids name this checkpoint, which holds `stored`, and besides only what has moved since.
    pub(super) fn set_checkpoint(&mut self, checkpoint: CheckpointId, stored: &[(JoinNumber, Progress)]) {
        let stored: BTreeMap<JoinNumber, Progress> = stored.iter().copied().collect();
        // A checkpoint has no row for a join whose end was sent: its absence expresses that.
        self.moved.retain(|(join_number, progress)| stored.get(join_number) != Some(progress));
        self.checkpoint = checkpoint;
    }

    /// Forgets these joins, whose end was sent: the checkpoint expresses it by their absence.
    pub(super) fn forget_ended(&mut self, ended: &[JoinNumber]) {
        self.moved.retain(|(join_number, progress)| *progress != Progress::EndSent || !ended.contains(join_number));
    }

    /// The joins whose end was sent since the checkpoint.
    pub(super) fn ended(&self) -> Vec<JoinNumber> {
        let ended = self.moved.iter().filter(|(_, progress)| *progress == Progress::EndSent);
        ended.map(|(join_number, _)| *join_number).collect()
    }
}
