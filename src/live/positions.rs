//! How far a stream has come, as its event ids say it.

use std::collections::BTreeMap;

use crate::model::Seq;
use crate::model::event_id::{Digest, EventId, IdTag, Kind, Reached, Slot};

/// More moved topics than this are worth a new generation.
pub(super) const MANY: usize = 16;
/// More than this would make ids too long: the stream waits for the generation.
pub(super) const MOST: usize = 128;

/// The generation that ids build on, and what has moved since.
#[derive(Debug)]
pub(super) struct Positions {
    tag: IdTag,
    generation: u64,
    /// Ascending by slot.
    moved: Vec<(Slot, Reached)>,
}

impl Positions {
    pub(super) fn new(tag: IdTag, generation: u64) -> Self {
        Self { tag, generation, moved: Vec::new() }
    }

    /// The stream has sent this slot's topic up to here.
    pub(super) fn reach(&mut self, slot: Slot, seq: Seq) {
        self.set(slot, Reached::Seq(seq));
    }

    /// The client has been told that this slot's join has ended.
    pub(super) fn told(&mut self, slot: Slot) {
        self.set(slot, Reached::Told);
    }

    fn set(&mut self, slot: Slot, reached: Reached) {
        match self.moved.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(i) => self.moved[i].1 = reached,
            Err(i) => self.moved.insert(i, (slot, reached)),
        }
    }

    /// How many topics have moved since the generation.
    pub(super) fn moved(&self) -> usize {
        self.moved.len()
    }

    /// Appends the id of what has been sent.
    pub(super) fn write_id(&self, digests: &[(Slot, Digest)], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        EventId::write(self.tag, Kind::Position, self.generation, &self.moved, digests, scratch, out);
    }

    /// Appends the mark of a stream that was replaced.
    pub(super) fn write_replaced(&self, stream: u64, out: &mut Vec<u8>) {
        EventId::write(self.tag, Kind::Replaced, stream, &[], &[], &mut Vec::new(), out);
    }

    /// `stored` is a generation now: ids build on it, and name only what has moved since.
    pub(super) fn build_on(&mut self, generation: u64, stored: &[(Slot, Reached)]) {
        let stored: BTreeMap<Slot, Reached> = stored.iter().copied().collect();
        // What was told to have ended is left out of generations: it is known by its absence.
        self.moved.retain(|(slot, reached)| stored.get(slot) != Some(reached));
        self.generation = generation;
    }

    /// What has been told to have ended since the generation.
    pub(super) fn forget_told(&mut self, told: &[Slot]) {
        self.moved.retain(|(slot, reached)| *reached != Reached::Told || !told.contains(slot));
    }

    /// The slots that were told to have ended.
    pub(super) fn told_slots(&self) -> Vec<Slot> {
        self.moved.iter().filter(|(_, reached)| *reached == Reached::Told).map(|(slot, _)| *slot).collect()
    }
}
