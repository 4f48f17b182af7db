//! Keeping ids short: what has been sent is stored as a new generation, in the background, and then named.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Stream;
use crate::live::positions::{MANY, MOST};
use crate::model::event_id::{Reached, Slot};
use crate::store::StoreError;

/// A stream stores a generation at most this often.
const SPACING: Duration = Duration::from_secs(1);

/// A generation on its way into the database.
#[derive(Debug)]
pub(super) struct Storing {
    task: JoinHandle<Result<Option<u64>, StoreError>>,
    positions: Vec<(Slot, Reached)>,
    told: Vec<Slot>,
    done: Option<Result<Option<u64>, StoreError>>,
}

impl Stream {
    /// Names a generation that has been stored, and starts storing the next where ids have grown long. `false` where
    /// another stream has taken over.
    pub(super) async fn tend_generation(&mut self) -> bool {
        if self.storing.as_ref().is_some_and(|storing| storing.done.is_some() || storing.task.is_finished())
            && !self.settle().await
        {
            return false;
        }
        if self.generation_due().is_some_and(|due| due <= Instant::now()) {
            self.start_storing();
        }
        true
    }

    /// Whether one more topic may move. Where ids would become too long, the next generation has to be stored first.
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

    /// When the next generation is to be stored.
    pub(super) fn generation_due(&self) -> Option<Instant> {
        let wanted = self.storing.is_none() && self.positions.moved() > MANY;
        wanted.then(|| self.again_at.unwrap_or(self.stored_at + SPACING))
    }

    /// Whether a generation that was being stored has just been; never where none is.
    pub(super) fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.storing {
            Some(storing) if storing.done.is_none() => storing.poll_finished(cx),
            _ => Poll::Pending,
        }
    }

    fn start_storing(&mut self) {
        let mut positions: Vec<(Slot, Reached)> =
            self.topics.iter().map(|(slot, topic)| (*slot, Reached::Seq(topic.place.position))).collect();
        positions.sort_unstable_by_key(|(slot, _)| *slot);
        let (store, session, stream, next_slot) =
            (self.hub.inner.store.clone(), self.session, self.generation, self.next_slot);
        let stored = positions.clone();
        let task = tokio::spawn(async move { store.store_generation(session, stream, next_slot, stored).await });
        self.stored_at = Instant::now();
        let told = self.positions.told_slots();
        self.storing = Some(Box::new(Storing { task, positions, told, done: None }));
    }

    /// Waits for the generation that is being stored; `false` where another stream has taken over.
    async fn settle(&mut self) -> bool {
        let Some(mut storing) = self.storing.take() else {
            return true;
        };
        storing.finish().await;
        match storing.done {
            Some(Ok(Some(generation))) => {
                self.positions.forget_told(&storing.told);
                self.positions.build_on(generation, &storing.positions);
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
        let given_up = |_| Err(StoreError::Unavailable("storing a generation was given up".into()));
        self.done = Some(ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(given_up));
        Poll::Ready(())
    }
}
