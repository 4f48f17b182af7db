//! How long to wait before the next try: longer each time, and never the same for two instances.

use std::time::Duration;

use crate::model::Clock;

/// The longest wait after the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait of all.
const MOST: Duration = Duration::from_secs(5);

/// The wait after so many failures in a row: between half and all of what doubles each time, up to five seconds.
pub(super) fn after(failures: usize, clock: &Clock) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).min(10)).unwrap_or(10);
    let longest = FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(MOST);
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
            assert!(wait >= FIRST / 2 && wait <= MOST, "{failures}: {wait:?}");
        }
        assert!(after(1, &clock) <= FIRST);
        assert!(after(50, &clock) >= MOST / 2);
    }
}
