//! The limit on typing notifications: one in two seconds per session.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::model::SessionId;

/// The shortest time between two typing notifications of a session; those in between are dropped.
const TYPING_INTERVAL: Duration = Duration::from_secs(2);

/// The sessions that have sent a typing notification recently.
#[derive(Debug)]
pub(super) struct TypingLimiter {
    limiter: DefaultKeyedRateLimiter<SessionId>,
}

impl Default for TypingLimiter {
    fn default() -> Self {
        let quota = Quota::with_period(TYPING_INTERVAL).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        Self { limiter: RateLimiter::keyed(quota) }
    }
}

impl TypingLimiter {
    /// Counts a notification of the session. Returns false if it has to be dropped.
    pub(super) fn allows(&self, session: SessionId) -> bool {
        self.limiter.check_key(&session).is_ok()
    }

    /// Removes the sessions that may send again.
    pub(super) fn prune(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}
