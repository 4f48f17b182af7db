//! The clock offset: the database's clock minus this machine's. Instances stamp messages and decide who is online by the
//! database's time; what they know of it is as exact as the round trip of the quickest measurement.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::model::{Clock, Millis};

/// Two clocks drift apart by less than 1 / 10,000 of the time that passes: so much exactness a measurement loses with age.
const DRIFT_DIVISOR: u32 = 10_000;

/// The database's clock minus this machine's. Always 0 on SQLite, which has no clock of its own.
#[derive(Debug, Default)]
pub(super) struct ClockOffset {
    millis: AtomicI64,
    /// The round trip of the measurement in force, and its time; `None` before the first.
    // Not an async mutex: nothing is awaited while it is held.
    measured: Mutex<Option<(Duration, Instant)>>,
}

impl ClockOffset {
    /// Returns the offset in milliseconds.
    pub(super) fn millis(&self) -> i64 {
        self.millis.load(Ordering::Relaxed)
    }

    /// Returns the database's time by this machine's clock.
    pub(super) fn apply_to(&self, clock: &Clock) -> Millis {
        Millis(clock.now().0.saturating_add(self.millis()))
    }

    /// Returns true if it has ever been measured.
    pub(super) fn is_known(&self) -> bool {
        self.measured.lock().is_some()
    }

    /// Records a measurement with its round trip; it may be wrong by half of the round trip. It takes effect if it is about
    /// as exact as the one in force, or shows that one of the clocks was set.
    pub(super) fn record(&self, millis: i64, round_trip: Duration, now: Instant) {
        let mut measured = self.measured.lock();
        let counts = measured.is_none_or(|(before, at)| {
            let before = before + now.saturating_duration_since(at) / DRIFT_DIVISOR;
            let apart = Duration::from_millis(millis.abs_diff(self.millis()));
            round_trip <= before || apart > (before + round_trip) / 2 + Duration::from_millis(2)
        });
        if counts {
            self.millis.store(millis, Ordering::Relaxed);
            *measured = Some((round_trip, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_answer_moves_nothing_and_a_quick_one_does() {
        let offset = ClockOffset::default();
        let start = Instant::now();
        offset.record(40, 100 * MS, start);
        assert_eq!(offset.millis(), 40, "better than nothing");
        offset.record(3, 2 * MS, start);
        assert_eq!(offset.millis(), 3);
        offset.record(25, 60 * MS, start + 3_000 * MS);
        assert_eq!(offset.millis(), 3, "it was slow, and that is all");
        offset.record(4, 3 * MS, start + 3_000 * MS);
        assert_eq!(offset.millis(), 3);
        offset.record(4, 3 * MS, start + 20_000 * MS);
        assert_eq!(offset.millis(), 4, "a measurement loses exactness with age");
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let offset = ClockOffset::default();
        let start = Instant::now();
        offset.record(3, MS, start);
        offset.record(-5_000, 50 * MS, start + 3_000 * MS);
        assert_eq!(offset.millis(), -5_000);
    }
}
