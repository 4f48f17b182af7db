//! The queue to the database's writer: drafts of messages and other write transactions.
//!
//! Everything that is taken runs to its end, whatever becomes of the requests: a sender that hangs up changes nothing.
//! On SQLite there is one writer, and whatever waits at the same time shares one transaction and one `fsync`. On PostgreSQL
//! up to four batches of drafts run at once, and each other write transaction has a connection of its own.

mod appender;
mod batch_delay;
mod commit;
mod queued_write;
pub(super) mod scheduler;
mod types;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::batch_delay::TARGET_BATCH;
pub(super) use self::queued_write::WriteWork;
use self::queued_write::{PendingWrite, write_alone};
pub(crate) use self::types::{AppendError, Appended, NewEntries};
use self::types::{Delivery, Incoming, QUEUE_CAPACITY, WaitingDraft, WaitingWrite};
use super::durability::Durability;
use super::error::StoreError;
use super::messages::draft::Draft;
use super::pool::Pool;
use super::timeouts::within_timeout;
use crate::model::TopicKey;

/// The longest time that a sender waits for its answer.
const SENDER_TIMEOUT: Duration = Duration::from_secs(8);

/// The way to the writer. The queue ends once it is closed or dropped, after it has written what has arrived.
#[derive(Debug)]
pub(super) struct WriteQueue {
    drafts: mpsc::Sender<WaitingDraft>,
    /// Notified once so many drafts wait that the first of them need not wait for more.
    target_reached: Arc<Notify>,
    writes: Writes,
    delivery: Delivery,
    /// Ends the task when it is dropped.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The way of a write transaction that is not a draft.
#[derive(Debug)]
enum Writes {
    /// Through the queue, on SQLite.
    Queued(mpsc::Sender<WaitingWrite>),
    /// On a connection of its own from this pool, on PostgreSQL.
    OwnConnection(Pool),
}

impl WriteQueue {
    /// Makes a queue and what its task receives; [`Self::set_task`] is to be called with that task. `others` is the pool
    /// for write transactions that are not drafts, where they have a connection of their own.
    pub(super) fn new(others: Option<Pool>) -> (Self, Incoming) {
        let (drafts, incoming_drafts) = mpsc::channel(QUEUE_CAPACITY);
        let (writes, incoming_writes) = mpsc::channel(QUEUE_CAPACITY);
        let (stop, closing) = oneshot::channel();
        let queue = Self {
            drafts,
            target_reached: Arc::default(),
            writes: others.map_or(Writes::Queued(writes), Writes::OwnConnection),
            delivery: Delivery::default(),
            stop: Mutex::new(Some(stop)),
            task: Mutex::new(None),
        };
        let incoming = Incoming {
            drafts: incoming_drafts,
            writes: incoming_writes,
            closing,
            target_reached: queue.target_reached.clone(),
            delivery: queue.delivery.clone(),
        };
        (queue, incoming)
    }

    /// Sets the task that works on the queue.
    pub(super) fn set_task(&self, task: JoinHandle<()>) {
        *self.task.lock() = Some(task);
    }

    /// Sets the callback that gets the new entries of each batch after its commit and before its senders get their
    /// answers.
    pub(super) fn set_delivery(&self, deliver: impl Fn(HashMap<TopicKey, NewEntries>) + Send + Sync + 'static) {
        self.delivery.set(deliver);
    }

    /// Stores a draft; returns once it is durable and has been delivered.
    pub(super) async fn append(&self, draft: Draft) -> Result<Appended, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.push(WaitingDraft { draft, since: Instant::now(), reply })?;
        // A database that swallows statements must not hold senders. Its idempotency key finds out later whether the
        // draft was stored.
        let answer = tokio::time::timeout(SENDER_TIMEOUT, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(AppendError::Unavailable))
    }

    fn push(&self, waiting: WaitingDraft) -> Result<(), AppendError> {
        self.drafts.try_send(waiting).map_err(|_| AppendError::Unavailable)?;
        if self.drafts.max_capacity() - self.drafts.capacity() >= TARGET_BATCH {
            self.target_reached.notify_one();
        }
        Ok(())
    }

    /// Runs a write transaction; returns once it is as durable as `durability` says, or as it has required.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: WriteWork<T>,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let answer = match &self.writes {
            Writes::Queued(queue) => {
                let write = (Instant::now(), Box::new(PendingWrite::new(durability, work, reply)) as _);
                queue
                    .try_send(write)
                    .map_err(|_| StoreError::Unavailable("too many write transactions wait for the database".into()))?;
                within_timeout(answer).await?
            }
            Writes::OwnConnection(pool) => {
                pool.start(move |client| {
                    Box::pin(async move {
                        let _ = reply.send(write_alone(&client, work).await);
                    })
                })?;
                answer.await // each of its statements has a timeout
            }
        };
        answer.unwrap_or_else(|_| Err(StoreError::Unavailable("a write transaction was given up".into())))
    }

    /// Takes nothing more; returns once everything that has arrived is written and delivered.
    pub(super) async fn close(&self) {
        self.stop.lock().take();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the write queue has failed");
        }
        self.delivery.clear();
    }
}

#[cfg(test)]
mod tests;
