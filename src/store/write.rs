//! Writing: every change of the database goes through one of these calls to the write queue.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::DbBackend;

use super::clock_offset::ClockOffset;
use super::durability::Durability;
use super::messages::Draft;
use super::pool::{Connection as _, Transaction};
use super::write_queue::scheduler::Scheduler;
use super::write_queue::{AppendError, Appended, NewEntries, WriteQueue};
use super::{Inner, Pools, Store, StoreError, TopicKey};
use crate::model::Clock;

impl Store {
    /// Takes over connected pools, and starts the task of the write queue. That task ends when the store is closed or
    /// dropped.
    pub(crate) fn new(pools: Pools, clock: Clock) -> Self {
        let clock_offset = Arc::new(ClockOffset::default());
        let is_shared = pools.read.backend() == DbBackend::Postgres;
        let (write_queue, incoming) = WriteQueue::new(is_shared.then(|| pools.read.clone()));
        let now = {
            let clock = clock.clone();
            let clock_offset = clock_offset.clone();
            move || clock_offset.apply_to(&clock)
        };
        let scheduler = Scheduler::new(pools.write.clone(), incoming, pools.draft_batches, now);
        write_queue.set_task(tokio::spawn(scheduler.run()));
        Self { inner: Arc::new(Inner { pools, write_queue, clock, clock_offset }) }
    }

    /// Stores a message; returns once it is durable and has been delivered to the callback of
    /// [`Self::on_new_entries`].
    ///
    /// # Errors
    /// [`AppendError::Refused`] if the session may not send it; [`AppendError::Unavailable`] if the database is away or
    /// does not answer within 8 seconds, where it may have been stored all the same; [`AppendError::Failed`] for a fault
    /// of this program.
    pub(crate) async fn append(&self, draft: Draft) -> Result<Appended, AppendError> {
        self.inner.write_queue.append(draft).await
    }

    /// Sets the callback that gets the new entries of messages, by topic and in the order of their numbers. It is called
    /// after their commit and before their senders get their answers. It may hold the store: [`Self::close`] drops it.
    pub(crate) fn on_new_entries(&self, deliver: impl Fn(HashMap<TopicKey, NewEntries>) + Send + Sync + 'static) {
        self.inner.write_queue.set_delivery(deliver);
    }

    /// Runs `work` in a write transaction and commits it, unless `work` fails. It runs to its end even if the caller is
    /// dropped. Returns once it is as durable as `durability` says, or as `work` has required
    /// ([`Transaction::require_full_durability`]).
    pub(super) async fn write<T, F>(&self, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        self.inner.write_queue.write(durability, Box::new(work)).await
    }
}
