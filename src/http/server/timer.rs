//! The timer for heads of requests. hyper has one timeout for a head, which also ends idle keep-alive connections. This
//! service has two: a short one for a connection that has sent no request yet, and a long one for later requests.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// The timer of one connection. hyper starts it once per head, with the timeout of the first; from the second on it runs
/// longer by `extra`.
pub(super) struct HeadTimer {
    tokio: TokioTimer,
    extra: Duration,
    /// True if the first head was waited for. An atomic because hyper requires `Sync` of its timers; only one task uses it.
    is_later: AtomicBool,
}

impl HeadTimer {
    /// `extra` is the time that later heads may take in addition to the timeout of the first.
    pub(super) fn new(extra: Duration) -> Self {
        Self { tokio: TokioTimer::new(), extra, is_later: AtomicBool::new(false) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.tokio.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let is_later = self.is_later.swap(true, Ordering::Relaxed);
        self.tokio.sleep_until(if is_later { deadline + self.extra } else { deadline })
    }

    fn now(&self) -> Instant {
        self.tokio.now()
    }
}
