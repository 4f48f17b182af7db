//! Names that users choose. They are bounded, and have no control characters, which would break lines and terminals.

/// Reports whether `text` has `1..=max` characters and no control character (C0, DEL, C1).
pub fn is_name(text: &str, max: usize) -> bool {
    // A character has at most 4 bytes. This cheap check comes first, so that the characters of a huge text are not counted.
    let fits = !text.is_empty() && text.len() <= max * 4 && text.chars().count() <= max;
    fits && !text.chars().any(char::is_control)
}

/// Returns the first text after all texts that begin with `prefix`, in the order of code points; `None` if there is none.
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The range of surrogates contains no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// Returns the text in lower case, character by character. So the beginning of a text is the beginning of its lower case,
/// too. With `str::to_lowercase` it is not: that writes a sigma at the end of a word in a form of its own.
pub(crate) fn lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The longest username, in characters.
pub const USERNAME_MAX: usize = 64;

/// The longest name of a group, in characters.
pub(crate) const GROUP_NAME_MAX: usize = 100;

/// The longest description of a group, in characters.
pub(crate) const DESCRIPTION_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_stays_one_in_lower_case() {
        for text in ["ΟΔΟΣΑ", "İstanbul", "Straße", "ÄÖ"] {
            let whole = lower_case(text);
            assert!(text.char_indices().all(|(end, _)| whole.starts_with(&lower_case(&text[..end]))), "{text}");
        }
    }

    #[test]
    fn every_text_with_the_prefix_stands_before_the_bound() {
        for prefix in ["a", "é", "a\u{10ffff}", "\u{d7ff}", "z\u{10ffff}\u{10ffff}"] {
            let bound = prefix_end(prefix).expect("a bound");
            let longest = format!("{prefix}\u{10ffff}\u{10ffff}");
            assert!(prefix < bound.as_str() && longest.as_str() < bound.as_str(), "{prefix:?}");
        }
        assert_eq!(prefix_end("ab"), Some("ac".to_owned()));
        assert_eq!((prefix_end(""), prefix_end("\u{10ffff}")), (None, None));
    }
}
