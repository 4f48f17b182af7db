//! A listener: the registration of one stream on one active topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::BytesMut;

use super::batch::Batch;
use super::signal::StreamSignal;
use crate::model::event_id::JoinNumber;

/// The listeners of a topic, ascending by their numbers.
pub(super) type Listeners = Vec<(u64, Arc<TopicListener>)>;

/// One stream's registration on one active topic.
#[derive(Debug)]
pub(super) struct TopicListener {
    signal: Arc<StreamSignal>,
    join_number: JoinNumber,
    /// True if the stream has been notified and has not read since: the topic is signalled once, however much comes.
    notified: AtomicBool,
    /// True if a presence interval has brought a change since the stream last read.
    presence: AtomicBool,
}

impl TopicListener {
    pub(super) fn new(signal: Arc<StreamSignal>, join_number: JoinNumber) -> Self {
        Self { signal, join_number, notified: AtomicBool::new(false), presence: AtomicBool::new(false) }
    }

    /// Notifies the stream that the topic has something new.
    pub(super) fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.signal.topic_ready(self.join_number);
        }
    }

    /// Notifies the stream that a presence interval has brought a change.
    pub(super) fn notify_presence(&self) {
        self.presence.store(true, Ordering::Release);
        self.notify();
    }

    /// Writes a batch at once if the stream is parked and has nothing else to send. Returns false if the stream has to be
    /// notified.
    pub(super) fn write_batch(&self, batch: &Batch, scratch: &mut BytesMut, now: Instant) -> bool {
        match &mut *self.signal.parked() {
            Some(parked) => parked.stream.write_batch(&*parked.sink, self.join_number, batch, scratch, now),
            None => false,
        }
    }

    /// Begins a read by the stream: whatever comes from here on notifies it again. Returns true if presence has changed
    /// since the last read.
    pub(super) fn begin_read(&self) -> bool {
        self.notified.store(false, Ordering::Release);
        self.presence.swap(false, Ordering::AcqRel)
    }
}
