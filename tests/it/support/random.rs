//! Random choices that a failing test can repeat: the seed is printed when the test ends in a panic.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64: small, and good enough to choose where to cut.
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// Seeded by `PARLOUR_TEST_SEED`, or by the clock.
    pub(crate) fn new() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let seed = std::env::var("PARLOUR_TEST_SEED").map_or_else(
            |_| u64::try_from(clock() % u128::from(u64::MAX)).unwrap(),
            |seed| seed.parse().expect("PARLOUR_TEST_SEED is a number"),
        );
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("to repeat this run: PARLOUR_TEST_SEED={}\n", self.seed),
            );
        }
    }
}
