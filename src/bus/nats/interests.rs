//! What an instance wants to hear of, and the subscriptions that follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{Link, PATIENCE};
use crate::bus::Interest;

/// What is wanted. Never behind: the subscriptions follow it as soon as there is a connection.
#[derive(Debug)]
pub(in crate::bus) struct Interests {
    // Not an async mutex: nothing is awaited while it is held.
    state: Mutex<State>,
    changed: Notify,
    /// The version that is in force.
    settled: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each is wanted.
    wanted: HashMap<Interest, usize>,
    /// What has come or gone since the subscriptions were looked at.
    changed: HashSet<Interest>,
    /// Counts changes.
    version: u64,
}

impl Default for Interests {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), settled: watch::Sender::new(0) }
    }
}

impl Interests {
    pub(in crate::bus) fn add(&self, interest: Interest) {
        let mut state = self.lock();
        let count = state.wanted.entry(interest.clone()).or_default();
        *count += 1;
        if *count == 1 {
            state.note(interest);
            self.changed.notify_one();
        }
    }

    pub(in crate::bus) fn remove(&self, interest: &Interest) {
        let mut state = self.lock();
        let Some(count) = state.wanted.get_mut(interest) else { return };
        *count -= 1;
        if *count == 0 {
            state.wanted.remove(interest);
            state.note(interest.clone());
            self.changed.notify_one();
        }
    }

    /// Waits until everything that was added before this call is in force.
    pub(in crate::bus) async fn settled(&self) {
        let version = self.lock().version;
        let _ = self.settled.subscribe().wait_for(|settled| *settled >= version).await;
    }

    /// Waits until something has come or gone since the last look.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Asks for a look, changed or not.
    pub(super) fn look(&self) {
        self.changed.notify_one();
    }

    /// Asks for a look that makes a version of its own: [`Interests::settled`] waits for it.
    pub(super) fn look_anew(&self) {
        self.lock().version += 1;
        self.changed.notify_one();
    }

    /// What has come or gone, and the version that this makes.
    pub(super) fn take(&self) -> (u64, Vec<(Interest, bool)>) {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        let changes = changed.into_iter().map(|one| (state.wanted.contains_key(&one), one)).map(|(w, one)| (one, w));
        let changes = changes.collect();
        (state.version, changes)
    }

    /// A change could not be made: once more at the next look.
    pub(super) fn put_back(&self, interest: Interest) {
        self.lock().changed.insert(interest);
    }

    /// The subscriptions of this version are in force.
    pub(super) fn settle(&self, version: u64) {
        self.settled.send_if_modified(|settled| version > *settled && std::mem::replace(settled, version) < version);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, interest: Interest) {
        self.changed.insert(interest);
        self.version += 1;
    }
}

/// The tasks that follow subjects; they end with this.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(HashMap<String, AbortHandle>);

impl Subscriptions {
    /// Follows a subject, once; `false` where the connection takes no more at present.
    pub(super) async fn hold(&mut self, subject: String, link: Arc<Link>) -> bool {
        if self.0.contains_key(&subject) {
            return true;
        }
        let Ok(Ok(subscriber)) = timeout(PATIENCE, link.client.subscribe(subject.clone())).await else {
            return false;
        };
        let task = tokio::spawn(link.follow(subscriber));
        self.0.insert(subject, task.abort_handle());
        true
    }

    /// Follows it no more.
    pub(super) fn drop(&mut self, subject: &str) {
        if let Some(task) = self.0.remove(subject) {
            task.abort();
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}
