//! The sessions whose recent calls have not been written to the database yet. A call keeps its session online although
//! the session has no stream; to write that down for each call would cost a transaction a call.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Millis, SessionId};
use crate::store::SessionCall;

/// The time of the latest call of each session.
#[derive(Debug, Default)]
pub(super) struct RecentCalls {
    // Not an async mutex, as nothing is awaited while it is locked.
    unwritten: Mutex<HashMap<SessionId, Millis>>,
    notify: Notify,
}

impl RecentCalls {
    /// Records a call, and wakes the task that waits in [`RecentCalls::recorded`].
    pub(super) fn record(&self, session: SessionId, at: Millis) {
        self.unwritten.lock().insert(session, at);
        self.notify.notify_one();
    }

    /// Waits for a call that was recorded since this returned last.
    pub(super) async fn recorded(&self) {
        self.notify.notified().await;
    }

    /// Removes and returns all calls, in the order of the sessions' ids: every transaction that locks several sessions
    /// locks them in this order.
    pub(super) fn take(&self) -> Vec<SessionCall> {
        let calls = std::mem::take(&mut *self.unwritten.lock());
        let mut calls: Vec<_> = calls.into_iter().map(|(session, at)| SessionCall { session, at }).collect();
        calls.sort_unstable_by_key(|call| call.session);
        calls
    }
}
