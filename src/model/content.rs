//! The content of a message: any JSON value, stored as it was sent.

use std::fmt;

use serde_json::value::RawValue;

/// JSON text without white space outside strings, hence without line breaks, which would end an SSE `data:` line. The order
/// of keys, the digits of numbers and the escapes are as the sender wrote them.
#[derive(Clone)]
pub(crate) struct Content(Box<RawValue>);

/// The reason why a JSON value cannot be content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentError {
    /// Arrays and objects are nested deeper than [`Content::MAX_DEPTH`].
    #[error("content is nested deeper than 64: send flatter JSON")]
    TooDeep,
    /// An escape such as `\uD800` without the other half of its pair. It stands for no character, and many JSON parsers
    /// fail on it.
    #[error("content has half of a surrogate pair (\\uD800 to \\uDFFF): send whole characters")]
    LoneSurrogate,
}

impl Content {
    /// The largest depth of nested arrays and objects.
    pub(crate) const MAX_DEPTH: usize = 64;

    /// Removes the white space outside strings of a well-formed JSON value, and checks the value.
    ///
    /// # Errors
    /// [`ContentError`] if the value is nested too deeply, or has half of a surrogate pair.
    pub(crate) fn new(raw: &RawValue) -> Result<Self, ContentError> {
        let text = raw.get();
        let mut out = Vec::with_capacity(text.len());
        let bytes = text.as_bytes();
        let mut i = 0;
        let mut depth = 0usize;
        while let Some(&byte) = bytes.get(i) {
            match byte {
                b'"' => {
                    let end = string_end(bytes, i)?;
                    out.extend_from_slice(&bytes[i..end]);
                    i = end;
                    continue;
                }
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'[' | b'{' => {
                    depth += 1;
                    if depth > Self::MAX_DEPTH {
                        return Err(ContentError::TooDeep);
                    }
                    out.push(byte);
                }
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    out.push(byte);
                }
                _ => out.push(byte),
            }
            i += 1;
        }
        let compact = String::from_utf8(out).unwrap_or_default();
        Ok(Self(RawValue::from_string(compact).unwrap_or_default()))
    }

    /// Reads content from the database, which was checked when it was stored. Returns `None` if the text is no JSON.
    pub(crate) fn stored(text: String) -> Option<Box<RawValue>> {
        RawValue::from_string(text).ok()
    }

    /// Returns the JSON text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns the JSON value, as a field of a message.
    pub(crate) fn into_raw(self) -> Box<RawValue> {
        self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.get().len()) // what users write must not get into logs
    }
}

/// Returns the index after the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, ContentError> {
    let mut i = start + 1;
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'"' => return Ok(i + 1),
            b'\\' if bytes.get(i + 1) == Some(&b'u') => i = escape_end(bytes, i)?,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    Ok(bytes.len())
}

/// Returns the index after the `\uXXXX` escape at `start`, or after both escapes of a surrogate pair.
fn escape_end(bytes: &[u8], start: usize) -> Result<usize, ContentError> {
    match (hex4(bytes, start), hex4(bytes, start + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => Ok(start + 12),
        (Some(0xD800..=0xDFFF), _) => Err(ContentError::LoneSurrogate),
        _ => Ok(start + 6),
    }
}

/// Returns the value of the `\uXXXX` escape at `at`, if there is one.
fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Result<String, ContentError> {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("well-formed JSON");
        Content::new(&raw).map(|c| c.as_str().to_owned())
    }

    #[test]
    fn comes_back_as_it_was_sent_less_white_space_outside_strings() {
        let sent =
            " { \"b\" : [ 1.0 , 1e400,\r\n12345678901234567890 ],\t\"a\":\" x \\n \\\" \\u00e9\\ud83d\\ude00\" } ";
        let kept = "{\"b\":[1.0,1e400,12345678901234567890],\"a\":\" x \\n \\\" \\u00e9\\ud83d\\ude00\"}";
        assert_eq!(content(sent), Ok(kept.into()));
        for same in ["null", "true", "-0", "\"\"", "\"\\\\\"", "[]", "{\"a\":1,\"a\":2}", "\"\\u0000\""] {
            assert_eq!(content(same), Ok(same.into()));
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(content(&nested(64)), Ok(nested(64)));
        assert_eq!(content(&nested(65)), Err(ContentError::TooDeep));
        assert_eq!(content(&format!("\"{}\"", "[".repeat(100))), Ok(format!("\"{}\"", "[".repeat(100))));
    }

    #[test]
    fn half_a_character_is_refused() {
        for bad in ["\"\\ud800\"", "\"\\udc00\"", "\"\\ud83dx\\ude00\"", "{\"\\ud800\":1}", "\"\\ud800\\ud800\""] {
            assert_eq!(content(bad), Err(ContentError::LoneSurrogate), "{bad}");
        }
        assert_eq!(content("\"\\\\ud800\""), Ok("\"\\\\ud800\"".into()));
    }
}
