//! Integers in bodies. To JSON Schema `5.0` is an integer like `5`, and a client whose language has only one type of
//! number may write it so.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// The first number after the largest `i64`: two to the power of 63.
const END: f64 = 9_223_372_036_854_775_808.0;

/// A whole number in any of JSON's notations: `5`, `5.0`, `0.5e1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer<T>(pub(crate) T);

impl<'de, T: TryFrom<i64>> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Number(PhantomData))
    }
}

struct Number<T>(PhantomData<T>);

impl<T: TryFrom<i64>> Visitor<'_> for Number<T> {
    type Value = Integer<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number within bounds")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Integer<T>, E> {
        let fits = T::try_from(value).ok().map(Integer);
        fits.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Integer<T>, E> {
        let signed = i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self));
        self.visit_i64(signed?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Integer<T>, E> {
        if value.fract() != 0.0 || !(-END..END).contains(&value) {
            return Err(E::invalid_value(Unexpected::Float(value), &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within an i64")]
        self.visit_i64(value as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: TryFrom<i64>>(text: &str) -> Option<T> {
        serde_json::from_str(text).ok().map(|Integer(number)| number)
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        for text in ["5", "5.0", "5e0", "0.5e1", "50E-1"] {
            assert_eq!(read::<u32>(text), Some(5), "{text}");
        }
        // The halves are numbers of their own up to here: the nearest one is read, not the next.
        assert_eq!(read("3810891926129310.0"), Some(3_810_891_926_129_310_i64));
        assert_eq!(read("-9223372036854775808.0"), Some(i64::MIN));
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
    }

    #[test]
    fn what_is_none_or_too_large_is_refused() {
        for text in
            ["5.5", "3810891926129310.5", "9223372036854775808", "9223372036854775808.0", "1e300", "\"5\"", "null"]
        {
            assert_eq!(read::<i64>(text), None, "{text}");
        }
        assert_eq!(read::<u32>("-1"), None);
        assert_eq!(read::<u32>("4294967296.0"), None);
    }
}
