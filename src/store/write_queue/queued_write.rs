//! Write transactions that wait in the queue: some statements, the durability that they need, and the caller.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::store::durability::Durability;
use crate::store::error::StoreError;
use crate::store::pool::{Client, Transaction};

/// The statements of a write transaction.
pub(in crate::store) type WriteWork<T> =
    Box<dyn for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send>;

/// A write transaction whose result type is erased while it waits.
pub(super) trait QueuedWrite: Send {
    /// Runs it; `false` if it failed and has to be rolled back. A panic is a failure.
    fn run<'a>(&'a mut self, transaction: &'a Transaction) -> BoxFuture<'a, bool>;
    /// The durability that it needs at least.
    fn durability(&self) -> Durability;
    /// Sends the caller its result, or `failure` if the transaction was not committed.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// A write transaction with its caller.
pub(super) struct PendingWrite<T> {
    /// `None` once it runs.
    work: Option<WriteWork<T>>,
    durability: Durability,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T> PendingWrite<T> {
    pub(super) fn new(
        durability: Durability,
        work: WriteWork<T>,
        reply: oneshot::Sender<Result<T, StoreError>>,
    ) -> Self {
        Self { work: Some(work), durability, result: None, reply }
    }
}

impl<T: Send> QueuedWrite for PendingWrite<T> {
    fn run<'a>(&'a mut self, transaction: &'a Transaction) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = Some(unless_it_panics(async { work(transaction).await }).await);
            }
            matches!(self.result, Some(Ok(_)))
        })
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let result = match (self.result, failure) {
            (Some(Ok(_)), Some(error)) => Err(error.clone()),
            (Some(result), _) => result,
            (None, _) => Err(StoreError::Unavailable("the write transaction was not started".into())),
        };
        let _ = self.reply.send(result);
    }
}

/// Runs a write transaction alone.
pub(super) async fn write_alone<T>(client: &Client, work: WriteWork<T>) -> Result<T, StoreError> {
    let transaction = client.begin(Durability::Full).await?;
    let value = work(&transaction).await?;
    transaction.commit().await?;
    Ok(value)
}

/// The result of `work`; an error if it panics, so that nothing else in the same transaction is lost.
pub(super) async fn unless_it_panics<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a write transaction has panicked and was rolled back");
        Err(StoreError::Unavailable("a write transaction has panicked".into()))
    })
}
