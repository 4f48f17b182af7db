//! Times as the database keeps them, integer milliseconds, and as clients see them, RFC 3339.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Milliseconds since the Unix epoch, UTC. Written as RFC 3339 with three decimals: `2026-01-31T09:30:00.000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T09:30:00.000Z")]
pub struct Millis(pub i64);

impl Millis {
    /// The RFC 3339 form.
    pub fn rfc3339(self) -> String {
        static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        PRINTER.timestamp_to_string(&Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Reads any RFC 3339 time; what is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// This time and `more`.
    #[must_use]
    pub fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(millis(more)))
    }

    /// This time less `less`.
    #[must_use]
    pub fn minus(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(millis(less)))
    }

    /// How long it is from `earlier` to this; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A duration in the database's unit.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}
