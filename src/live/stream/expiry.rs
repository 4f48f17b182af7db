//! The ends of a stream that come with time: its maximum age and the expiry of its session.

use std::time::{Duration, Instant};

use super::state::Stream;
use crate::live::signal::End;

/// The longest time between two checks. A machine's clock may be set and the machine be suspended, so the time of the
/// next check cannot be relied on for longer.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

impl Stream {
    /// Returns the reason why the stream has to end now, if there is one. Does nothing before the next check is due.
    pub(super) async fn check_expiry(&mut self) -> Option<End> {
        if self.now < self.check_at {
            return None;
        }
        if Instant::now() >= self.ends_at {
            return Some(End::MaxAge);
        }
        if self.has_expired().await {
            return Some(End::Expired);
        }
        self.check_at = self.next_check();
        None
    }

    /// Returns true if the session has expired. It may have been refreshed, on this instance or another.
    async fn has_expired(&mut self) -> bool {
        if self.hub.inner.store.now() < self.expires_at || !self.may_query() {
            return false;
        }
        match self.hub.inner.store.session(self.session).await {
            Ok(Some(session)) if !session.ended && session.expires_at > self.expires_at => {
                self.expires_at = session.expires_at;
                false
            }
            Ok(_) => true,
            Err(error) => {
                self.retry_later(&error);
                false
            }
        }
    }

    fn next_check(&self) -> Instant {
        let expiry = self.now + self.expires_at.since(self.hub.inner.store.now());
        // A database that has failed is not queried before `retry_at`.
        let expiry = self.retry_at.map_or(expiry, |retry| expiry.max(retry));
        expiry.min(self.ends_at).min(self.now + CHECK_INTERVAL)
    }
}
