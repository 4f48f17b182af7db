//! Items: what a stream sends of a topic, and the order in which it does. Entries of the log are ordered by `seq`; an
//! ephemeral event has no number and stands after the entry that was the last when it came.

use crate::model::{Entry, EphemeralEvent, Seq};

/// Something that a stream sends of a topic.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// An entry of the log.
    Entry(Entry),
    /// An event that is stored nowhere.
    Ephemeral(EphemeralEvent),
}

/// The position of a stream in a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicPosition {
    /// The last entry that was sent.
    pub(super) seq: Seq,
    /// The number of the last ephemeral event that was sent or passed over.
    pub(super) ephemeral: u64,
}

/// An ephemeral event that waits for readers.
#[derive(Clone, Debug)]
pub(super) struct PendingEphemeral {
    /// Its number among the ephemeral events of the topic on this instance, from 1.
    pub(super) number: u64,
    /// The last entry of the log when it came.
    pub(super) after: Seq,
    pub(super) event: EphemeralEvent,
}

/// Merges entries and ephemeral events into their order and moves the position. It stops after about `budget` bytes;
/// returns the items and true if everything is among them.
pub(super) fn merge<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    pending: Vec<&PendingEphemeral>,
    position: &mut TopicPosition,
    budget: usize,
) -> (Vec<Item>, bool) {
    let mut items = Vec::new();
    let mut used = 0;
    let mut pending = pending.into_iter().peekable();
    for entry in entries {
        while let Some(ephemeral) = pending.next_if(|ephemeral| ephemeral.after < entry.seq) {
            position.ephemeral = ephemeral.number;
            // A reader that had not sent the entry before it at the time has missed it by lagging.
            if ephemeral.after >= position.seq {
                used += ephemeral.event.json().len();
                items.push(Item::Ephemeral(ephemeral.event.clone()));
            }
        }
        if used >= budget {
            return (items, false);
        }
        used += entry.json.len();
        position.seq = entry.seq;
        items.push(Item::Entry(entry.clone()));
    }
    items.extend(pending.map(|ephemeral| Item::Ephemeral(ephemeral.event.clone())));
    (items, true)
}
