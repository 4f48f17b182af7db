//! A message's content: any JSON value, kept as it was sent.

use std::fmt;

use serde_json::value::RawValue;

/// JSON text without white space outside strings, so without line breaks, which would end an SSE `data:` line. Key
/// order, the digits of numbers and escapes are the sender's.
#[derive(Clone)]
pub struct Content(Box<RawValue>);

/// Why a JSON value is no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Arrays and objects stand in each other more than [`Content::MAX_DEPTH`] deep.
    #[error("content is nested deeper than 64: send flatter JSON")]
    TooDeep,
    /// A `\uD800`-like escape without its other half: no text, and many JSON readers choke on it.
    #[error("content has half of a surrogate pair (\\uD800 to \\uDFFF): send whole characters")]
    LoneSurrogate,
}

impl Content {
    /// How deep arrays and objects may be nested.
    pub const MAX_DEPTH: usize = 64;

    /// Takes a JSON value that a parser has already found well-formed.
    pub fn new(raw: &RawValue) -> Result<Self, ContentError> {
        let text = raw.get();
        let mut out = Vec::with_capacity(text.len());
        let bytes = text.as_bytes();
        let (mut i, mut depth) = (0, 0usize);
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

    /// What the database holds, which this type wrote.
    pub fn stored(text: String) -> Option<Box<RawValue>> {
        RawValue::from_string(text).ok()
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The JSON value, to be put into a message.
    pub fn into_raw(self) -> Box<RawValue> {
        self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.get().len()) // what people write to each other is no log line's business
    }
}

/// One past the closing quote of the string that opens at `start`.
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

/// One past a `\uXXXX` escape, and past both where two make a pair.
fn escape_end(bytes: &[u8], start: usize) -> Result<usize, ContentError> {
    match (hex4(bytes, start), hex4(bytes, start + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => Ok(start + 12),
        (Some(0xD800..=0xDFFF), _) => Err(ContentError::LoneSurrogate),
        _ => Ok(start + 6),
    }
}

/// The value of the `\uXXXX` escape at `at`, where one stands there.
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
