//! The log of each topic: appending drafts, editing and removing messages, and reading them.

pub(super) mod append;
mod changes;
mod columns;
pub(super) mod draft;
mod history;
mod insert;
mod senders;
mod single_row;
mod sqlite;
pub(super) mod types;

pub(crate) use changes::{ChangeRefused, Changed, Target};
pub(super) use columns::{COLUMNS, message};
pub(crate) use draft::{Draft, DraftError};
pub(crate) use history::LogRange;
pub(super) use insert::{Announcement, announce};
