//! Calls keep a session online though it has no stream. They are gathered and written down a few times a second, and
//! only when less than half of the grace period is left.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Chat;
use crate::model::{Millis, SessionId};
use crate::store::Touch;

/// How long touches gather.
const GATHER: Duration = Duration::from_millis(100);
/// Sessions that are written down in one transaction.
const BATCH: usize = 256;

/// Calls that wait to be written down: one per session.
#[derive(Debug, Default)]
pub(super) struct Touches {
    waiting: Mutex<HashMap<SessionId, Millis>>,
    notify: Notify,
}

impl Touches {
    fn add(&self, session: SessionId, at: Millis) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(session, at);
        self.notify.notify_one();
    }

    fn take(&self) -> Vec<Touch> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut touches: Vec<_> = waiting.into_iter().map(|(session, at)| Touch { session, at }).collect();
        touches.sort_unstable_by_key(|touch| touch.session); // as every transaction that locks several sessions does
        touches
    }
}

impl Chat {
    /// Notes a call. `online_until` is what the database knows; `None` while a stream keeps the session online.
    pub(super) fn note_call(&self, session: SessionId, online_until: Option<Millis>) {
        let now = self.store().now();
        if online_until.is_some_and(|until| until < now.plus(self.inner.hub.grace() / 2)) {
            self.inner.touches.add(session, now);
        }
    }

    /// Writes calls down, for ever.
    pub(super) async fn keep_online(&self) {
        loop {
            self.inner.touches.notify.notified().await;
            tokio::time::sleep(GATHER).await;
            let touches = self.inner.touches.take();
            for batch in touches.chunks(BATCH) {
                match self.store().touch_sessions(batch.to_vec(), self.inner.hub.grace()).await {
                    Ok(appeared) => self.inner.hub.presence_changed(&appeared),
                    Err(error) => tracing::debug!(%error, "calls could not be written down"),
                }
            }
        }
    }
}
