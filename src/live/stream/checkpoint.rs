//! Keeping event ids short: positions are stored as a checkpoint, in the background, and ids then name the checkpoint.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::checkpoint_write::CheckpointWrite;
use super::state::Stream;
use crate::live::positions::{MOVED_BEFORE_CHECKPOINT, MOVED_LIMIT};
use crate::model::event_id::{JoinNumber, Progress};

/// The least time between two checkpoints of a stream.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

impl Stream {
    /// Makes ids name a checkpoint that has been stored, and begins to write the next one where ids have grown long.
    /// Returns false if another stream has replaced this one.
    pub(super) async fn update_checkpoint(&mut self) -> bool {
        let is_finished = self.checkpoint_write.as_ref().is_some_and(|write| write.is_finished());
        if is_finished && !self.finish_checkpoint().await {
            return false;
        }
        if self.checkpoint_due().is_some_and(|due| due <= Instant::now()) {
            self.begin_checkpoint();
        }
        true
    }

    /// Returns true if one more topic may move. Otherwise ids would become too long, and a checkpoint has to be stored first.
    pub(super) fn may_move(&self) -> bool {
        self.positions.moved_count() < MOVED_LIMIT
    }

    /// Stores a checkpoint and waits for it, so that the next id is as short as possible.
    pub(super) async fn shorten_ids(&mut self) {
        if self.positions.moved_count() > MOVED_BEFORE_CHECKPOINT {
            if self.checkpoint_write.is_none() {
                self.begin_checkpoint();
            }
            self.finish_checkpoint().await;
        }
    }

    /// When the next checkpoint has to be written.
    pub(super) fn checkpoint_due(&self) -> Option<Instant> {
        let wanted = self.checkpoint_write.is_none() && self.positions.moved_count() > MOVED_BEFORE_CHECKPOINT;
        wanted.then(|| self.retry_at.unwrap_or(self.checkpoint_at + CHECKPOINT_INTERVAL))
    }

    /// Is ready when a checkpoint that is being written has just been stored; never where none is.
    pub(super) fn poll_checkpoint(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.checkpoint_write {
            Some(write) if write.result.is_none() => write.poll_finished(cx),
            _ => Poll::Pending,
        }
    }

    fn begin_checkpoint(&mut self) {
        let sent = |(join_number, seq)| (join_number, Progress::SentUpTo(seq));
        let topics = self.topics.iter().map(|(join_number, topic)| (*join_number, topic.position.seq));
        let mut positions: Vec<(JoinNumber, Progress)> = topics.map(sent).collect();
        positions.sort_unstable_by_key(|(join_number, _)| *join_number);
        let store = self.hub.inner.store.clone();
        let session = self.session;
        let stream = self.id;
        let next_join_number = self.next_join_number;
        let stored = positions.clone();
        let task = tokio::spawn(async move { store.store_checkpoint(session, stream, next_join_number, stored).await });
        self.checkpoint_at = Instant::now();
        let ended = self.positions.ended();
        self.checkpoint_write = Some(Box::new(CheckpointWrite { task, positions, ended, result: None }));
    }

    /// Waits for the checkpoint that is being written. Returns false if another stream has replaced this one.
    async fn finish_checkpoint(&mut self) -> bool {
        let Some(mut write) = self.checkpoint_write.take() else {
            return true;
        };
        write.finish().await;
        match write.result {
            Some(Ok(Some(checkpoint))) => {
                self.positions.forget_ended(&write.ended);
                self.positions.set_checkpoint(checkpoint, &write.positions);
                true
            }
            Some(Ok(None)) => false,
            Some(Err(error)) => {
                self.retry_later(&error);
                true
            }
            None => true,
        }
    }
}
