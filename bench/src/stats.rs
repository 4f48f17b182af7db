//! Figures, and their format.

use std::fmt;
use std::time::Duration;

/// A measured value with its name and unit.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figure {
    pub(crate) fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit } = self;
        let digits = if *value >= 100.0 || *value == 0.0 { 0 } else { 2 };
        write!(f, "{name} {value:.digits$}{}{unit}", if unit.is_empty() { "" } else { " " })
    }
}

/// Returns the share of each of `count` in `all`; zero if `count` is zero.
pub(crate) fn per(all: Duration, count: usize) -> Duration {
    all.checked_div(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or_default()
}

/// Returns the percentile of sorted durations, in milliseconds. `share` is a number from 0.0 to 1.0.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(at).map_or(0.0, |value| value.as_secs_f64() * 1e3)
}
