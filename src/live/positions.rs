//! How far a stream has come, as its event ids say it.

use std::collections::BTreeMap;

use crate::model::event_id::{EventId, EventIdKind, IdTag, JoinNumber, PresenceDigest, Progress};
use crate::model::{CheckpointId, Seq, StreamId};

/// More moved topics than this are worth a new checkpoint.
pub(super) const MANY: usize = 16;
/// More than this would make ids too long: the stream waits for the checkpoint.
pub(super) const MOST: usize = 128;

/// The checkpoint that ids build on, and what has moved since.
#[derive(Debug)]
pub(super) struct Positions {
    tag: IdTag,
    checkpoint: CheckpointId,
    /// Ascending by join_number.
    moved: Vec<(JoinNumber, Progress)>,
}

impl Positions {
    pub(super) fn new(tag: IdTag, checkpoint: CheckpointId) -> Self {
        Self { tag, checkpoint, moved: Vec::new() }
    }

    /// The stream has sent this join_number's topic up to here.
    pub(super) fn reach(&mut self, join_number: JoinNumber, seq: Seq) {
        self.set(join_number, Progress::SentUpTo(seq));
    }

    /// The client has been told that this join_number's join has ended.
    pub(super) fn told(&mut self, join_number: JoinNumber) {
        self.set(join_number, Progress::EndSent);
    }

    fn set(&mut self, join_number: JoinNumber, reached: Progress) {
        match self.moved.binary_search_by_key(&join_number, |(join_number, _)| *join_number) {
            Ok(i) => self.moved[i].1 = reached,
            Err(i) => self.moved.insert(i, (join_number, reached)),
        }
    }

    /// How many topics have moved since the checkpoint.
    pub(super) fn moved(&self) -> usize {
        self.moved.len()
    }

    /// Appends the id of what has been sent.
    pub(super) fn write_id(&self, digests: &[(JoinNumber, PresenceDigest)], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        EventId::write(self.tag, EventIdKind::Position, self.checkpoint, &self.moved, digests, scratch, out);
    }

    /// Appends the mark of a stream that was replaced.
    pub(super) fn write_replaced(&self, stream: StreamId, out: &mut Vec<u8>) {
        EventId::write(self.tag, EventIdKind::Replaced, stream.first_checkpoint(), &[], &[], &mut Vec::new(), out);
    }

    /// `stored` is a checkpoint now: ids build on it, and name only what has moved since.
    pub(super) fn build_on(&mut self, checkpoint: CheckpointId, stored: &[(JoinNumber, Progress)]) {
        let stored: BTreeMap<JoinNumber, Progress> = stored.iter().copied().collect();
        // What was told to have ended is left out of checkpoints: it is known by its absence.
        self.moved.retain(|(join_number, reached)| stored.get(join_number) != Some(reached));
        self.checkpoint = checkpoint;
    }

    /// What has been told to have ended since the checkpoint.
    pub(super) fn forget_told(&mut self, told: &[JoinNumber]) {
        self.moved.retain(|(join_number, reached)| *reached != Progress::EndSent || !told.contains(join_number));
    }

    /// The join_numbers that were told to have ended.
    pub(super) fn ended_joins_sent(&self) -> Vec<JoinNumber> {
        self.moved
            .iter()
            .filter(|(_, reached)| *reached == Progress::EndSent)
            .map(|(join_number, _)| *join_number)
            .collect()
    }
}
