//! The in-memory part of an instance: the tails of the topics that streams here listen to, who is present on them, every
//! stream's positions, and the signals that wake streams.
//!
//! Nothing in here holds a queue per reader. A stream is a set of positions; whatever stands after them is read from the
//! tail, and what the tail does not hold from the database. All of it can be lost at any moment: the log, the stored
//! checkpoints and the event ids that clients hold are enough to continue on another instance.
//!
//! The files depend on each other in one direction, from the last to the first of this list:
//!
//! 1. values: `sink`, `encoder`, `events`, `batch`, `tail`, `items`, `positions`, `presence`, `reported`;
//! 2. a stream as seen from below: `parked`, `signal`, `listener`;
//! 3. a topic: `topic`, `page_cache`, `access`, `fanout`;
//! 4. the instance: `hub`, then what it does: `log_ends`, `activity`, `hints`, `closed`, `lease`, `reconcile`, `tasks`;
//! 5. `stream`, which uses all of them.

mod access;
mod activity;
mod batch;
mod closed;
mod encoder;
pub(crate) mod events;
mod fanout;
mod hints;
mod hub;
mod items;
mod lease;
mod listener;
mod log_ends;
mod page_cache;
mod parked;
mod positions;
mod presence;
mod reconcile;
mod reported;
mod signal;
mod sink;
mod stream;
mod tail;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
mod topic;

pub(crate) use encoder::Format;
pub(crate) use hub::{Hub, HubSettings};
pub(crate) use presence::PresenceView;
pub(crate) use sink::{ByteSink, FRAME_ROOM};
pub(crate) use stream::{Stream, StreamError};
