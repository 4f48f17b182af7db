//! Figures and how they are shown.

use std::fmt;
use std::time::Duration;

/// A measured value.
#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figure {
    pub fn new(name: &str, value: f64, unit: &'static str) -> Self {
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

/// What each of `count` took of `all`.
pub fn per(all: Duration, count: usize) -> Duration {
    all.checked_div(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or_default()
}

/// The value below which a share of the sorted ones lies, in milliseconds.
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(at).map_or(0.0, |value| value.as_secs_f64() * 1e3)
}
