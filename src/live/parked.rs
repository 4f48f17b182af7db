//! A parked stream, as the fan-out sees it: something that takes a batch and writes it to a sink.
//!
//! It is a trait so that the signal, the listener, the topic and the hub stand below the stream, which holds all of them.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;

use super::batch::Batch;
use super::sink::ByteSink;
use crate::model::event_id::JoinNumber;

/// A stream that has sent everything and waits without work.
pub(super) trait ParkedStream: Any + Debug + Send {
    /// Writes the entries of a batch if they are all that the stream has to send. Returns false if the stream's own task has
    /// to do something first, or instead. `scratch` is memory that the streams of a fan-out use in turn; `now` is the
    /// time, read once for many streams.
    fn write_batch(
        &mut self,
        sink: &dyn ByteSink,
        join_number: JoinNumber,
        batch: &Batch,
        scratch: &mut BytesMut,
        now: Instant,
    ) -> bool;

    /// Is ready when the stream's task has work. Registers the task's waker otherwise.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A parked stream with its sink.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) stream: Box<dyn ParkedStream>,
    pub(super) sink: Arc<dyn ByteSink>,
}
