//! The receiving end of the send queue: takes hints in batches, as many as were queued while the last batch was sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::hint::Hint;
use super::state::BusState;

/// The largest number of hints of one batch.
const BATCH_HINTS: usize = 512;

#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Receiver<Hint>,
    state: Arc<BusState>,
}

impl Outbox {
    pub(super) fn new(queue: mpsc::Receiver<Hint>, state: Arc<BusState>) -> Self {
        Self { queue, state }
    }

    /// Waits for the next batch. Returns `None` once the bus is stopped and the queue is empty. If hints were dropped
    /// before, the batch begins with [`Hint::Lost`].
    pub(super) async fn next(&mut self) -> Option<Vec<Hint>> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            _ = self.queue.recv_many(&mut batch, BATCH_HINTS) => {}
            () = self.state.stop.cancelled() => {}
        }
        if batch.is_empty() {
            return None;
        }
        self.state.queued_bytes.fetch_sub(batch.iter().map(Hint::payload_bytes).sum(), Ordering::Relaxed);
        remove_repeats(&mut batch);
        if self.state.lost.swap(false, Ordering::AcqRel) {
            batch.insert(0, Hint::Lost);
        }
        Some(batch)
    }

    /// Counts the hints of a batch that could not be sent as dropped.
    pub(super) fn give_up(&self, batch: &[Hint]) {
        self.state.record_dropped(batch.iter().filter(|hint| !matches!(hint, Hint::Lost)).count());
    }
}

/// Keeps one presence hint per topic: a receiver reads the presence of a topic once for all of them.
fn remove_repeats(batch: &mut Vec<Hint>) {
    let mut seen = HashSet::new();
    for hint in batch.iter_mut() {
        if let Hint::Presence { topics } = hint {
            topics.retain(|topic| seen.insert(*topic));
        }
    }
    batch.retain(|hint| !matches!(hint, Hint::Presence { topics } if topics.is_empty()));
}
