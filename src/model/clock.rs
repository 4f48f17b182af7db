//! Time, randomness and ids come in through this one value, so that tests choose them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use uuid::Uuid;

use super::time::Millis;

/// Where the time comes from, and what is made with it: UUIDv7s and jitter. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds that a test has moved the time forward by; an atomic, as every part of the service holds a clone.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The wall clock, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Millis(now.saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// Moves this clock and all its clones forward.
    pub fn advance(&self, millis: i64) {
        self.offset.fetch_add(millis, Ordering::Relaxed);
    }

    /// A new UUIDv7: sorts by its time of making.
    pub fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// `N` bytes from the operating system's generator by way of a cryptographic one: fit for keys.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        rand::rng().random()
    }

    /// A number in `0.0..1.0`, to spread what would otherwise happen at once.
    pub fn jitter(&self) -> f64 {
        rand::rng().random()
    }
}
