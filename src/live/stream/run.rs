//! The loop of a stream, step by step: take the signals, gather, hand out a piece, wait.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::state::Stream;
use crate::live::signal::End;

/// The bytes after which a piece takes no further turn: enough to gather a burst, small enough to keep the buffers of a
/// reader small.
const PIECE_BYTES: usize = 16 * 1024;

impl Stream {
    /// Returns the next piece as soon as there is one; `None` after the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        while !self.step().await {
            if self.finished {
                return None;
            }
            self.wait(None).await;
        }
        Some(self.encoder.take())
    }

    /// Returns the piece that has to be written now, with [`FRAME_ROOM`](crate::live::FRAME_ROOM) bytes before the payload;
    /// `None` if there is nothing to write. It does not wait for more.
    pub(crate) async fn next_piece(&mut self) -> Option<BytesMut> {
        self.step().await.then(|| self.encoder.take_piece())
    }

    /// Takes the framed bytes that the sink did not accept while the stream was parked. They precede the next piece.
    pub(crate) fn take_unsent(&mut self) -> BytesMut {
        std::mem::take(&mut self.unsent)
    }

    /// Returns true if nothing comes any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.finished
    }

    /// Takes the signals and gathers what they bring. Returns true if there is something to write.
    async fn step(&mut self) -> bool {
        if self.encoder.is_empty() && !self.finished {
            match self.take_signals().await {
                Some(end) => {
                    self.write_bye(end);
                }
                None => self.gather(PIECE_BYTES).await,
            }
        }
        let has_piece = !self.encoder.is_empty();
        if has_piece {
            self.written_at = self.now;
        }
        has_piece
    }

    /// Takes the pending signals and does what is due. Returns the reason why the stream is over, if it is.
    pub(super) async fn take_signals(&mut self) -> Option<End> {
        self.now = Instant::now();
        let mut signals = std::mem::take(&mut self.spare_signals);
        self.signal.take(&mut signals);
        signals.ready.drain(..).for_each(|join_number| self.enqueue(join_number));
        self.reload |= std::mem::take(&mut signals.joins);
        let activity = std::mem::take(&mut signals.activity);
        let end = signals.end.take();
        self.spare_signals = signals;
        if end.is_some() {
            return end;
        }
        if self.reload && self.may_query() {
            self.reload_joins().await;
        }
        self.write_activity(activity);
        if !self.update_checkpoint().await {
            return Some(End::Replaced);
        }
        self.check_expiry().await
    }
}
