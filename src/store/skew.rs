//! How far the database's clock is from ours. Instances stamp messages and judge who is online by the database's time; what
//! they know of it is as exact as the quickest answer to the question was.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Two clocks drift apart by less than a hundred millionths: so much trust in a measurement is lost as it ages.
const DRIFT: u32 = 10_000;

/// The database's clock less ours. Always 0 on SQLite, whose clock is ours.
#[derive(Debug, Default)]
pub(super) struct Skew {
    millis: AtomicI64,
    /// How long the answer in force took to come, and when that was.
    // Not an async mutex: nothing is awaited while it is held.
    measured: Mutex<Option<(Duration, Instant)>>,
}

impl Skew {
    /// In milliseconds.
    pub(super) fn millis(&self) -> i64 {
        self.millis.load(Ordering::Relaxed)
    }

    /// Whether it has ever been measured.
    pub(super) fn is_known(&self) -> bool {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes a measurement, and how long its answer took: it may be wrong by half of that. It counts where it is about as
    /// good as the one in force, or says that one of the clocks was set.
    pub(super) fn learn(&self, millis: i64, took: Duration, now: Instant) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = measured.is_none_or(|(before, at)| {
            let before = before + now.saturating_duration_since(at) / DRIFT;
            let apart = Duration::from_millis(millis.abs_diff(self.millis()));
            took <= before || apart > (before + took) / 2 + Duration::from_millis(2)
        });
        if counts {
            self.millis.store(millis, Ordering::Relaxed);
            *measured = Some((took, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_answer_moves_nothing_and_a_quick_one_does() {
        let (skew, start) = (Skew::default(), Instant::now());
        skew.learn(40, 100 * MS, start);
        assert_eq!(skew.millis(), 40, "better than nothing");
        skew.learn(3, 2 * MS, start);
        assert_eq!(skew.millis(), 3);
        skew.learn(25, 60 * MS, start + 3_000 * MS);
        assert_eq!(skew.millis(), 3, "it was slow, and that is all");
        skew.learn(4, 3 * MS, start + 3_000 * MS);
        assert_eq!(skew.millis(), 3);
        skew.learn(4, 3 * MS, start + 20_000 * MS);
        assert_eq!(skew.millis(), 4, "what is known gets old");
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let (skew, start) = (Skew::default(), Instant::now());
        skew.learn(3, MS, start);
        skew.learn(-5_000, 50 * MS, start + 3_000 * MS);
        assert_eq!(skew.millis(), -5_000);
    }
}
