//! The error of a setting that cannot be used.

use std::fmt;

/// A wrong setting. Displays as one sentence that names the setting and says what it takes.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    /// Creates an error. `problem` completes the sentence that begins with the name of the setting.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }

    /// Creates an error that shows the wrong value. Never for secrets.
    pub(super) fn wrong_value(setting: &'static str, given: &str, takes: impl fmt::Display) -> Self {
        Self::new(setting, format!("{takes}, and not {given:?}"))
    }
}
