//! The interests of an instance. The task of the backend reviews the changes and makes the subscriptions follow.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::bus::hint::Interest;

/// The interests, and the version up to which the subscriptions have followed them.
#[derive(Debug)]
pub(in crate::bus) struct Interests {
    // Not an async mutex, as nothing is awaited while it is locked.
    state: Mutex<State>,
    review: Notify,
    /// The version whose subscriptions are active.
    settled: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of `add`s of each interest that have no `remove` yet.
    counts: HashMap<Interest, usize>,
    /// The interests that were added or removed since the last review.
    changed: HashSet<Interest>,
    /// The number of changes so far.
    version: u64,
}

impl Default for Interests {
    fn default() -> Self {
        Self { state: Mutex::default(), review: Notify::new(), settled: watch::Sender::new(0) }
    }
}

impl Interests {
    pub(in crate::bus) fn add(&self, interest: Interest) {
        let mut state = self.state.lock();
        let count = state.counts.entry(interest.clone()).or_default();
        *count += 1;
        if *count == 1 {
            state.record_change(interest);
            self.review.notify_one();
        }
    }

    pub(in crate::bus) fn remove(&self, interest: &Interest) {
        let mut state = self.state.lock();
        let Some(count) = state.counts.get_mut(interest) else { return };
        *count -= 1;
        if *count == 0 {
            state.counts.remove(interest);
            state.record_change(interest.clone());
            self.review.notify_one();
        }
    }

    /// Waits until the subscriptions for every interest that was added before this call are active.
    pub(in crate::bus) async fn settled(&self) {
        let version = self.state.lock().version;
        let _ = self.settled.subscribe().wait_for(|settled| *settled >= version).await;
    }

    /// Waits until a review is due.
    pub(super) async fn review_requested(&self) {
        self.review.notified().await;
    }

    /// Requests a review, even if no interest has changed.
    pub(super) fn request_review(&self) {
        self.review.notify_one();
    }

    /// Requests a review with a version of its own, so that [`Interests::settled`] waits for it.
    pub(super) fn request_new_version(&self) {
        self.state.lock().version += 1;
        self.review.notify_one();
    }

    /// Removes and returns the changes since the last review, and the version after them. Each interest comes with true
    /// if it is to be subscribed to.
    pub(super) fn take_changes(&self) -> (u64, Vec<(Interest, bool)>) {
        let mut state = self.state.lock();
        let mut changes = Vec::new();
        for interest in std::mem::take(&mut state.changed) {
            let wanted = state.counts.contains_key(&interest);
            changes.push((interest, wanted));
        }
        (state.version, changes)
    }

    /// Records that a change could not be made. The next review repeats it.
    pub(super) fn put_back(&self, interest: Interest) {
        self.state.lock().changed.insert(interest);
    }

    /// Records that the subscriptions of this version are active.
    pub(super) fn settle(&self, version: u64) {
        self.settled.send_if_modified(|settled| {
            let is_newer = version > *settled;
            *settled = version.max(*settled);
            is_newer
        });
    }
}

impl State {
    fn record_change(&mut self, interest: Interest) {
        self.changed.insert(interest);
        self.version += 1;
    }
}
