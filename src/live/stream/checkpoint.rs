//! Keeping ids short: what has been sent is stored as a new checkpoint, in the background, and then named.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Stream;
use crate::live::positions::{MANY, MOST};
use crate::model::CheckpointId;
use crate::model::event_id::{JoinNumber, Progress};
use crate::store::StoreError;

/// A stream stores a checkpoint at most this often.
const SPACING: Duration = Duration::from_secs(1);

/// A checkpoint on its way into the database.
#[derive(Debug)]
pub(super) struct Storing {
    task: JoinHandle<Result<Option<CheckpointId>, StoreError>>,
    positions: Vec<(JoinNumber, Progress)>,
    told: Vec<JoinNumber>,
    done: Option<Result<Option<CheckpointId>, StoreError>>,
}

impl Stream {
    /// Names a checkpoint that has been stored, and starts storing the next where ids have grown long. `false` where
    /// another stream has taken over.
    pub(super) async fn tend_checkpoint(&mut self) -> bool {
        if self.storing.as_ref().is_some_and(|storing| storing.done.is_some() || storing.task.is_finished())
            && !self.settle().await
        {
            return false;
        }
        if self.checkpoint_due().is_some_and(|due| due <= Instant::now()) {
            self.start_storing();
        }
        true
    }

    /// Whether one more topic may move. Where ids would become too long, the next checkpoint has to be stored first.
    pub(super) fn has_room(&self) -> bool {
        self.positions.moved() < MOST
    }

    /// Brings ids back to their shortest, at once.
    pub(super) async fn shorten_ids(&mut self) {
        if self.positions.moved() > MANY {
            if self.storing.is_none() {
                self.start_storing();
            }
            self.settle().await;
        }
    }

    /// When the next checkpoint is to be stored.
    pub(super) fn checkpoint_due(&self) -> Option<Instant> {
        let wanted = self.storing.is_none() && self.positions.moved() > MANY;
        wanted.then(|| self.again_at.unwrap_or(self.stored_at + SPACING))
    }

    /// Whether a checkpoint that was being stored has just been; never where none is.
    pub(super) fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.storing {
            Some(storing) if storing.done.is_none() => storing.poll_finished(cx),
            _ => Poll::Pending,
        }
    }

    fn start_storing(&mut self) {
        let mut positions: Vec<(JoinNumber, Progress)> = self
            .topics
            .iter()
            .map(|(join_number, topic)| (*join_number, Progress::SentUpTo(topic.place.position)))
            .collect();
        positions.sort_unstable_by_key(|(join_number, _)| *join_number);
        let (store, session, stream, next_join_number) =
            (self.hub.inner.store.clone(), self.session, self.id, self.next_join_number);
        let stored = positions.clone();
        let task = tokio::spawn(async move { store.store_checkpoint(session, stream, next_join_number, stored).await });
        self.stored_at = Instant::now();
        let told = self.positions.ended_joins_sent();
        self.storing = Some(Box::new(Storing { task, positions, told, done: None }));
    }

    /// Waits for the checkpoint that is being stored; `false` where another stream has taken over.
    async fn settle(&mut self) -> bool {
        let Some(mut storing) = self.storing.take() else {
            return true;
        };
        storing.finish().await;
        match storing.done {
            Some(Ok(Some(checkpoint))) => {
                self.positions.forget_told(&storing.told);
                self.positions.build_on(checkpoint, &storing.positions);
                true
            }
            Some(Ok(None)) => false,
            Some(Err(error)) => {
                self.ask_later(&error);
                true
            }
            None => true,
        }
    }
}

impl Storing {
    async fn finish(&mut self) {
        if self.done.is_none() {
            poll_fn(|cx| self.poll_finished(cx)).await;
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let given_up = |_| Err(StoreError::Unavailable("storing a checkpoint was given up".into()));
        self.done = Some(ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(given_up));
        Poll::Ready(())
    }
}
