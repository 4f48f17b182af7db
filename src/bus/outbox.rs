//! What waits to be sent: taken in batches, as much as has come while the last one was on its way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{Hint, Shared};

/// Hints of one batch.
const BATCH: usize = 512;

#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Receiver<Hint>,
    shared: Arc<Shared>,
}

impl Outbox {
    pub(super) fn new(queue: mpsc::Receiver<Hint>, shared: Arc<Shared>) -> Self {
        Self { queue, shared }
    }

    /// The next batch; `None` once the bus has been told to stop and everything has been taken. Where hints were dropped
    /// before, the first says so.
    pub(super) async fn next(&mut self) -> Option<Vec<Hint>> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            _ = self.queue.recv_many(&mut batch, BATCH) => {}
            () = self.shared.stop.cancelled() => {}
        }
        if batch.is_empty() {
            return None;
        }
        self.shared.queued.fetch_sub(batch.iter().map(Hint::payload).sum(), Ordering::Relaxed);
        forget_repeats(&mut batch);
        if self.shared.lost.swap(false, Ordering::AcqRel) {
            batch.insert(0, Hint::Lost);
        }
        Some(batch)
    }

    /// The batch did not get through.
    pub(super) fn give_up(&self, batch: &[Hint]) {
        self.shared.dropped(batch.iter().filter(|hint| !matches!(hint, Hint::Lost)).count());
    }
}

/// To look at a topic's presence once is enough for all that came together.
fn forget_repeats(batch: &mut Vec<Hint>) {
    let mut seen = HashSet::new();
    for hint in batch.iter_mut() {
        if let Hint::Presence { topics } = hint {
            topics.retain(|topic| seen.insert(*topic));
        }
    }
    batch.retain(|hint| !matches!(hint, Hint::Presence { topics } if topics.is_empty()));
}
