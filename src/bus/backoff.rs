//! The wait before the next attempt to connect. It grows with each failure, and it is random, so that instances do not
//! connect all at once.

use std::time::Duration;

use crate::model::Clock;

/// The longest wait after the first failure. It doubles with each further failure.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait after any number of failures.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Returns the wait after this many failures in a row: a random duration between half of the longest wait and the longest
/// wait.
pub(super) fn after(failures: usize, clock: &Clock) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).min(10)).unwrap_or(10);
    let longest = INITIAL_BACKOFF.saturating_mul(2u32.saturating_pow(doublings)).min(MAX_BACKOFF);
    longest.mul_f64(0.5 + 0.5 * clock.jitter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_a_bound() {
        let clock = Clock::default();
        for failures in 0..100 {
            let wait = after(failures, &clock);
            assert!(wait >= INITIAL_BACKOFF / 2 && wait <= MAX_BACKOFF, "{failures}: {wait:?}");
        }
        assert!(after(1, &clock) <= INITIAL_BACKOFF);
        assert!(after(50, &clock) >= MAX_BACKOFF / 2);
    }
}
