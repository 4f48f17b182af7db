//! What streams on this instance need: the in-memory tail of each topic that somebody here listens to, the view of who is
//! present there, every stream's positions, and the wake-ups between them.
//!
//! Nothing in here holds a queue per reader. A stream is a set of positions; whatever lies after them is read from the
//! tail, and what the tail no longer holds from the database. All of it can be lost at any moment: the log, the stored
//! checkpoints and the ids that clients carry are enough to go on elsewhere.

mod activity;
pub mod events;
mod fanout;
mod frames;
mod hints;
mod hub;
mod pages;
mod positions;
mod presence;
mod signal;
mod stream;
mod tail;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
mod topic;

pub use frames::Format;
pub use hub::{Hub, HubSettings};
pub use presence::PresenceView;
pub use stream::{Stream, StreamError};
