//! A stream at rest: it has sent everything, and its task sleeps. It lies beside its bell then, with its socket, where
//! whoever brings an entry for it may write that at once; see `fanout`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::Stream;
use crate::live::fanout::Batch;
use crate::live::signal::Wake;
use crate::model::event_id::JoinNumber;

/// A stream, and where it is written to.
#[derive(Debug)]
pub(in crate::live) struct Resting {
    stream: Box<Stream>,
    socket: Arc<TcpStream>,
}

/// Takes the stream back, whatever becomes of the task: a bell and its stream would keep each other for good.
struct Bed<'a>(&'a Wake);

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        let left = self.0.resting().take();
        drop(left);
    }
}

impl Stream {
    /// Waits until there is something to be done. Meanwhile entries may be written to `socket`. `gone` is asked whenever
    /// the task runs, and tells that nobody reads any more.
    pub async fn rest<E>(
        self: Box<Self>,
        socket: &Arc<TcpStream>,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<E>,
    ) -> Result<Box<Self>, E> {
        let wake = self.wake.clone();
        let _bed = Bed(&wake);
        *wake.resting() = Some(Resting { stream: self, socket: socket.clone() });
        poll_fn(|cx| {
            if let Poll::Ready(error) = gone(cx) {
                return Poll::Ready(Err(error));
            }
            // Nobody else takes it out. It goes with the sign that it heard, so that nothing is written past that.
            let mut place = wake.resting();
            let due = place.as_mut().is_some_and(|resting| resting.stream.poll_due(cx, None).is_ready());
            match place.take_if(|_| due) {
                Some(resting) => Poll::Ready(Ok(resting.stream)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Resting {
    /// Writes entries that follow what the stream has sent; `false` where something else is to be done first, or instead.
    pub(in crate::live) fn serve(
        &mut self,
        join_number: JoinNumber,
        batch: &Batch,
        scratch: &mut BytesMut,
        now: Instant,
    ) -> bool {
        let Self { stream, socket } = self;
        if !stream.has_only_to_write(join_number, batch) {
            return stream.has_sent(join_number, batch);
        }
        stream.frames.use_memory(std::mem::take(scratch));
        for entry in &batch.entries {
            stream.say_entry(join_number, entry);
        }
        stream.written_at = now;
        let mut chunk = stream.frames.take_chunk();
        // Past tokio's notes on what the socket is ready for: the plain path finds that out where this does not take all.
        match SockRef::from(&**socket).send(&chunk) {
            Ok(count) if count == chunk.len() => {}
            wrote => {
                // The rest waits for room in the socket, or for its end to be noticed.
                chunk.advance(wrote.unwrap_or(0));
                stream.unsent = std::mem::take(&mut chunk);
                stream.wake.ring();
            }
        }
        chunk.clear();
        *scratch = chunk;
        if stream.checkpoint_due().is_some() {
            stream.wake.ring(); // ids have grown long: its task stores where it stands
        }
        true
    }
}

impl Stream {
    /// Whether a batch is all that the stream has to send: nothing waits, nothing is missed before it, and no sign is out
    /// that something else has happened.
    fn has_only_to_write(&self, join_number: JoinNumber, batch: &Batch) -> bool {
        let at_rest = self.queue.is_empty() && self.unsent.is_empty() && self.frames.is_empty() && !self.reload;
        let Some(topic) = self.topics.get(&join_number) else {
            return false;
        };
        let in_step = topic.place.position == batch.after && topic.gap_to.is_none() && topic.reading.is_none();
        let open = topic.shown.is_some() && topic.last.is_none() && !topic.closed;
        at_rest && in_step && open && self.has_room() && !self.finished && !self.wake.has_rung()
    }

    /// Whether all of a batch has been sent before.
    fn has_sent(&self, join_number: JoinNumber, batch: &Batch) -> bool {
        let last = batch.entries.last().map_or(batch.after, |entry| entry.seq);
        self.topics.get(&join_number).is_some_and(|topic| topic.place.position >= last)
    }
}
