//! hyper has one timeout for a request's head, and it also ends idle keep-alive connections. We want two: short for a
//! connection that has not yet asked anything, long for one that has and is kept open for more.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// One connection's timer. hyper starts it once per head, with the first head's timeout; from the second on it runs
/// longer by `more`.
pub(super) struct HeadTimer {
    tokio: TokioTimer,
    more: Duration,
    /// Whether a head has been waited for. An atomic, as hyper wants its timers shareable; only one task uses it.
    has_asked: AtomicBool,
}

impl HeadTimer {
    /// `more` is how much longer than the first the later heads may take.
    pub(super) fn new(more: Duration) -> Self {
        Self { tokio: TokioTimer::new(), more, has_asked: AtomicBool::new(false) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.tokio.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let later = self.has_asked.swap(true, Ordering::Relaxed);
        self.tokio.sleep_until(if later { deadline + self.more } else { deadline })
    }

    fn now(&self) -> Instant {
        self.tokio.now()
    }
}
