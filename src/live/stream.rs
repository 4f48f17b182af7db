//! A session's stream: a set of positions that sends whatever stands after them.
//!
//! Live delivery, catching up after a lost connection, a slow reader and a restarted server are this one loop (`run`): take
//! the signals, let the topics that have something take turns, write what is ready in one piece, wait. A position moves
//! when an entry is put into the piece, so the id of an event names exactly what was sent up to it.
//!
//! The struct is in `state`. Each of the other files adds one part of its behaviour, and calls only parts that come before
//! it in this list.

mod activity_throttle;
mod checkpoint_write;
mod page_read;
mod state;
mod write;

mod activity;
mod checkpoint;
mod expiry;
mod presence;

mod catch_up;
mod gather;
mod joins;
mod open;
mod wait;

mod run;

mod park;
mod poll;

pub(crate) use self::state::{Stream, StreamError};

#[cfg(test)]
mod tests;
