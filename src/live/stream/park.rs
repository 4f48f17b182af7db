//! Parking: a stream that has sent everything, and whose task waits, is placed beside its signal, together with its sink.
//! There the fan-out finds it and writes an entry to it directly; see `fanout`.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;

use super::state::Stream;
use crate::live::batch::Batch;
use crate::live::parked::{Parked, ParkedStream};
use crate::live::signal::StreamSignal;
use crate::live::sink::ByteSink;
use crate::model::event_id::JoinNumber;

/// Takes the stream back however its task ends: a signal and its stream would keep each other alive for good.
struct UnparkOnDrop<'a>(&'a StreamSignal);

impl Drop for UnparkOnDrop<'_> {
    fn drop(&mut self) {
        // The lock is released before the stream is dropped.
        let _parked = self.0.parked().take();
    }
}

impl Stream {
    /// Waits until the stream's task has work. Meanwhile entries may be written to `sink`. `poll_closed` is called whenever
    /// the task runs.
    ///
    /// # Errors
    ///
    /// The error of `poll_closed` when it is ready: nobody reads the stream any more.
    pub(crate) async fn park<S: ByteSink + 'static, E>(
        self: Box<Self>,
        sink: &Arc<S>,
        mut poll_closed: impl FnMut(&mut Context<'_>) -> Poll<E>,
    ) -> Result<Box<Self>, E> {
        let signal = self.signal.clone();
        let _unpark = UnparkOnDrop(&signal);
        *signal.parked() = Some(Parked { stream: self, sink: sink.clone() });
        poll_fn(|cx| {
            if let Poll::Ready(error) = poll_closed(cx) {
                return Poll::Ready(Err(error));
            }
            // The lock is held from the look at the notification until the stream is out, so that the fan-out writes nothing
            // past what the stream was notified of.
            let mut slot = signal.parked();
            let has_work = slot.as_mut().is_some_and(|parked| parked.stream.poll_work(cx).is_ready());
            match slot.take_if(|_| has_work).and_then(unpark) {
                Some(stream) => Poll::Ready(Ok(stream)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Returns true if a batch is all that the stream has to send: nothing is queued, nothing before the batch is missing,
    /// and the stream was not notified of anything else.
    fn has_only_to_write(&self, join_number: JoinNumber, batch: &Batch) -> bool {
        let has_sent_all = self.queue.is_empty() && self.unsent.is_empty() && self.encoder.is_empty();
        let Some(topic) = self.topics.get(&join_number) else {
            return false;
        };
        let follows = topic.position.seq == batch.after && topic.gap_to.is_none() && topic.page_read.is_none();
        let is_open = topic.shown.is_some() && topic.join_end.is_none() && !topic.closed;
        let is_free = !self.reload && self.may_move() && !self.finished && !self.signal.is_notified();
        has_sent_all && follows && is_open && is_free
    }

    /// Returns true if all of a batch has been sent before.
    fn has_sent(&self, join_number: JoinNumber, batch: &Batch) -> bool {
        self.topics.get(&join_number).is_some_and(|topic| topic.position.seq >= batch.end())
    }
}

impl ParkedStream for Stream {
    fn write_batch(
        &mut self,
        sink: &dyn ByteSink,
        join_number: JoinNumber,
        batch: &Batch,
        scratch: &mut BytesMut,
        now: Instant,
    ) -> bool {
        if !self.has_only_to_write(join_number, batch) {
            return self.has_sent(join_number, batch);
        }
        self.encoder.use_memory(std::mem::take(scratch));
        for entry in &batch.entries {
            self.write_entry(join_number, entry);
        }
        self.written_at = now;
        let mut piece = self.encoder.take_piece();
        sink.write_now(&mut piece);
        if piece.is_empty() {
            *scratch = piece;
        } else {
            self.unsent = piece;
            self.signal.notify(); // its task writes the rest when there is room, or meets the error
        }
        if self.checkpoint_due().is_some() {
            self.signal.notify(); // ids have grown long: its task stores a checkpoint
        }
        true
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_due(cx, None)
    }
}

/// Only `Stream::park` places a stream beside its signal, so this is never `None`.
fn unpark(parked: Parked) -> Option<Box<Stream>> {
    let stream: Box<dyn Any> = parked.stream;
    stream.downcast().ok()
}
