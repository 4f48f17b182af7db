//! The source of time, randomness and ids. It is one value, so that tests can control it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use uuid::Uuid;

use super::time::Millis;

/// The wall clock, and the generator of UUIDv7s, random bytes and jitter. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The milliseconds by which a test has moved the clock forward. Atomic, as every part of the service holds a clone.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// Returns the time of the wall clock, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Millis(now.saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// Moves this clock and all its clones forward.
    pub fn advance(&self, millis: i64) {
        self.offset.fetch_add(millis, Ordering::Relaxed);
    }

    /// Creates a UUIDv7. UUIDv7s sort by the time of their creation.
    pub fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// Returns `N` random bytes that are good enough for keys: a cryptographic generator makes them, which the operating
    /// system's generator seeds.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        rand::rng().random()
    }

    /// Returns a random number in `0.0..1.0`, to spread events that would otherwise happen at the same time.
    pub fn jitter(&self) -> f64 {
        rand::rng().random()
    }
}
