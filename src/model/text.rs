//! Names that people give: bounded, and without control characters, which would break lines and terminals.

/// Whether `text` has `1..=max` characters and no control character (C0, DEL, C1).
pub fn is_name(text: &str, max: usize) -> bool {
    // A character has at most 4 bytes: the cheap test keeps huge inputs from being walked.
    let fits = !text.is_empty() && text.len() <= max * 4 && text.chars().count() <= max;
    fits && !text.chars().any(char::is_control)
}

/// The longest username, in characters.
pub const USERNAME_MAX: usize = 64;
