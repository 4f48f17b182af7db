//! Times: integer milliseconds in the database, RFC 3339 for clients.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A time in UTC, in the form of RFC 3339 with three decimals: `2026-01-31T09:30:00.000Z`.
// The field holds milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T09:30:00.000Z")]
pub struct Millis(pub i64);

impl Millis {
    /// Returns the RFC 3339 form, with three decimals.
    pub fn rfc3339(self) -> String {
        static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        PRINTER.timestamp_to_string(&Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Parses a time of RFC 3339, section 5.6. Digits after the milliseconds are cut off. Returns `None` for any other
    /// text. A time at the end of the year 9999, which some clients use for "never", is valid.
    pub fn parse(text: &str) -> Option<Self> {
        let (date_time, offset) = split_offset(text)?;
        if !is_date_time(date_time) {
            return None;
        }
        let civil: DateTime = date_time.to_ascii_uppercase().parse().ok()?;
        let latest = || Timestamp::MAX.as_millisecond();
        let utc = Offset::UTC.to_timestamp(civil).map_or_else(|_| latest(), Timestamp::as_millisecond);
        Some(Self(utc.saturating_sub(offset)))
    }

    /// Returns the time `more` after this one.
    #[must_use]
    pub fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(millis(more)))
    }

    /// Returns the time `less` before this one.
    #[must_use]
    pub fn minus(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(millis(less)))
    }

    /// Returns the time that has passed from `earlier` to this; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Splits a time of RFC 3339 into date and time, and its offset from UTC in milliseconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return Some((utc, 0));
    }
    let (date_time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let [sign, h1, h2, b':', m1, m2] = *offset.as_bytes() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
    let hours = digit(h1)? * 10 + digit(h2)?;
    let minutes = digit(m1)? * 10 + digit(m2)?;
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some((date_time, sign * (hours * 60 + minutes) * 60_000))
}

/// Reports whether the text has the form `YYYY-MM-DDTHH:MM:SS`, possibly with a fraction. The calendar decides later
/// whether there is such a time.
fn is_date_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let matches = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte.eq_ignore_ascii_case(shape),
    };
    let Some((head, fraction)) = text.as_bytes().split_at_checked(SHAPE.len()) else { return false };
    let digits = |rest: &[u8]| (1..=9).contains(&rest.len()) && rest.iter().all(u8::is_ascii_digit);
    head.iter().zip(SHAPE).all(matches) && (fraction.is_empty() || fraction.strip_prefix(b".").is_some_and(digits))
}

/// Returns a duration in milliseconds, the unit of the database.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc_3339_and_nothing_else() {
        let parse = |text| Millis::parse(text).map(Millis::rfc3339);
        let noon = Some("2026-01-31T12:00:00.000Z".to_owned());
        for same in ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.0009z", "2026-01-31T14:30:00+02:30"] {
            assert_eq!(parse(same), noon, "{same}");
        }
        assert_eq!(parse("2026-01-31T11:00:00.500-01:00").as_deref(), Some("2026-01-31T12:00:00.500Z"));
        assert!(Millis::parse("9999-12-31T23:59:59Z") > Millis::parse("9999-12-30T00:00:00Z"));
        for bad in [
            "2026-01-31",
            "2026-01-31T12Z",
            "2026-01-31T12:00Z",
            "20260131T120000Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00+0000",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00Z[UTC]",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "+002026-01-31T12:00:00Z",
            "é",
            "",
        ] {
            assert_eq!(Millis::parse(bad), None, "{bad}");
        }
    }
}
