//! Heartbeats: messages that an instance sends to itself over the bus, to find out that the path is open.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The interval between two heartbeats.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// The time without a heartbeat after which the path counts as closed.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(6);

/// The time of the last heartbeat that came back.
#[derive(Debug)]
// Not an async mutex, as nothing is awaited while it is locked.
pub(super) struct LastHeartbeat(Mutex<Instant>);

impl LastHeartbeat {
    /// Starts the timeout now.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Records that a heartbeat came back now.
    pub(super) fn record(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Reports whether no heartbeat came back within the timeout.
    pub(super) fn is_overdue(&self) -> bool {
        self.0.lock().elapsed() > HEARTBEAT_TIMEOUT
    }
}

/// Ticks at the times to send a heartbeat; the first tick is now.
pub(super) fn ticks() -> Interval {
    let mut ticks = interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
