//! Text that clients send: decoding it strictly, and quoting it briefly.

/// The largest number of characters that an error quotes of a parser's message, which may itself quote the input.
const MAX_QUOTE: usize = 200;

/// Percent-decodes strictly: every `%` begins an escape, and the result is UTF-8. A lenient decoder would give two
/// different requests the same meaning, or a request a meaning that its client did not write.
pub(super) fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let clean = bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || is_escape(at));
    let decoded = clean.then(|| percent_encoding::percent_decode(bytes).decode_utf8().ok());
    decoded.flatten().map(Into::into)
}

/// The first [`MAX_QUOTE`] characters of `text`, with an ellipsis where it is longer.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
