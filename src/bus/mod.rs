//! The bus: carries hints from the instance where something was committed to the instances whose streams listen to it.
//!
//! It improves latency and promises nothing else. A hint may be lost, duplicated or reordered. Every receiver compares a
//! hint with its own state, by `seq` or by stream id, and a slow reconciliation with the database finds what no hint
//! announced. So publishing never waits and never fails: a hint that does not fit into the bounded queue is dropped and
//! counted.
//!
//! Every backend has the same notion of health: an instance that receives its own heartbeats is connected. It sends one
//! every two seconds, over the same path as all hints. A path that only looks open, such as `LISTEN` through a connection
//! pooler, counts as closed. While the path is closed, the hub reconciles twice a second.

mod backoff;
mod handle;
mod heartbeat;
mod hint;
mod nats;
mod outbox;
mod postgres;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use handle::{Backend, Bus};
pub(crate) use hint::{Hint, Interest};
