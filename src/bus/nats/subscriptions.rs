//! The tasks that receive the messages of subjects.

use std::collections::HashMap;

use tokio::task::AbortHandle;

/// One task for each subject. They are aborted when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(HashMap<String, AbortHandle>);

impl Subscriptions {
    pub(super) fn contains(&self, subject: &str) -> bool {
        self.0.contains_key(subject)
    }

    pub(super) fn insert(&mut self, subject: String, task: AbortHandle) {
        self.0.insert(subject, task);
    }

    /// Ends the subscription to a subject.
    pub(super) fn remove(&mut self, subject: &str) {
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
