//! Changes: transactions that run to their end, whatever becomes of the request that asked for them.
//!
//! On PostgreSQL each has a task and a connection of its own. SQLite has one writer and one `fsync` per commit, so there
//! changes that arrive together share a transaction, each behind a savepoint of its own: one that fails takes nothing
//! else with it, and all are answered after the one commit. Where nothing but what a session does for itself has changed,
//! as when one is opened, that commit is not waited for until it is on the disk, which it soon is.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::dialect::in_time;
use super::pool::{Client, Durability, Pool, Transaction};
use super::{Store, StoreError};

/// How many changes may wait; one more is refused.
const QUEUE: usize = 4096;
/// How many share one commit.
const BATCH: usize = 64;
/// How long a change may wait for its turn; after that its caller has gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Statements inside a transaction.
pub(super) type Work<T> = Box<dyn for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send>;

impl Store {
    /// Runs `work` in a transaction and commits it, unless it fails. Durable in full.
    pub(super) async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        self.change_lasting(None, work).await
    }

    /// As [`Self::change`], but as durable as `lasts` says of the result.
    pub(super) async fn change_delayed<T, F>(&self, lasts: fn(&T) -> Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        self.change_lasting(Some(lasts), work).await
    }

    async fn change_lasting<T, F>(&self, lasts: Option<fn(&T) -> Durability>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Transaction) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        match &self.inner.changes {
            Some(lane) => lane.enqueue(Box::new(Change { work: Some(Box::new(work)), lasts, done: None, reply }))?,
            None => {
                let pool = self.inner.pools.read.clone();
                tokio::spawn(async move {
                    let _ = reply.send(alone(pool, Box::new(work)).await);
                });
            }
        }
        // Where each statement has its own time, as on PostgreSQL, this is not to be shorter than all of them.
        let answer = if self.inner.changes.is_some() { in_time(answer).await? } else { answer.await };
        answer.unwrap_or_else(|_| Err(StoreError::Unavailable("the change was given up".into())))
    }
}

async fn alone<T>(pool: Pool, work: Work<T>) -> Result<T, StoreError>
where
    T: Send + 'static,
{
    let run = |client: Client| -> BoxFuture<'static, _> {
        Box::pin(async move {
            let transaction = client.begin().await?;
            let value = work(&transaction).await?;
            transaction.commit().await?;
            Ok(value)
        })
    };
    pool.work(run).await?
}

/// The queue to SQLite's one writer.
#[derive(Debug)]
pub(super) struct Lane {
    queue: mpsc::Sender<(Instant, Box<dyn Job>)>,
}

impl Lane {
    /// Starts the writer's task; it ends with the lane.
    pub(super) fn start(writer: &Pool) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(run(writer.clone(), jobs));
        Self { queue }
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.queue
            .try_send((Instant::now(), job))
            .map_err(|_| StoreError::Unavailable("too many changes wait for the database".into()))
    }
}

async fn run(writer: Pool, mut queue: mpsc::Receiver<(Instant, Box<dyn Job>)>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let jobs: Vec<_> =
            batch.drain(..).filter(|(since, _)| since.elapsed() < PATIENCE).map(|(_, job)| job).collect();
        if !jobs.is_empty()
            && let Err(error) = writer.work(|client| Box::pin(commit(client, jobs))).await
        {
            tracing::error!(%error, "a batch of changes was given up");
        }
    }
}

async fn commit(client: Client, mut jobs: Vec<Box<dyn Job>>) {
    let committed = commit_together(&client, &mut jobs).await;
    for job in jobs {
        job.finish(committed.as_ref().err());
    }
}

async fn commit_together(client: &Client, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let before = durability(jobs);
    let transaction = client.begin_lasting(before).await?;
    if let [job] = jobs {
        if !job.run(&transaction).await {
            return transaction.rollback().await;
        }
    } else {
        for job in jobs.iter_mut() {
            let part = transaction.begin().await?;
            if job.run(&part).await {
                part.commit().await?;
            } else {
                part.rollback().await?;
            }
        }
    }
    transaction.commit().await?;
    if durability(jobs) > before { client.sync() } else { Ok(()) }
}

/// What all of them together ask for.
fn durability(jobs: &[Box<dyn Job>]) -> Durability {
    jobs.iter().map(|job| job.durability()).max().unwrap_or(Durability::Full)
}

/// A change whose result type is forgotten while it waits.
trait Job: Send {
    /// Runs it; `false` where it failed and has to be undone.
    fn run<'a>(&'a mut self, transaction: &'a Transaction) -> BoxFuture<'a, bool>;
    /// What it asks for: before it has run, what may turn out to be enough.
    fn durability(&self) -> Durability;
    /// Answers its caller: with its own result, unless the commit failed.
    fn finish(self: Box<Self>, failure: Option<&StoreError>);
}

struct Change<T> {
    work: Option<Work<T>>,
    /// What its result asks for; none for whatever is to be durable in full.
    lasts: Option<fn(&T) -> Durability>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send> Job for Change<T> {
    fn run<'a>(&'a mut self, transaction: &'a Transaction) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.done = Some(work(transaction).await);
            }
            matches!(self.done, Some(Ok(_)))
        })
    }

    fn durability(&self) -> Durability {
        match (self.lasts, &self.done) {
            (None, _) => Durability::Full,
            (Some(lasts), Some(Ok(value))) => lasts(value),
            (Some(_), _) => Durability::Delayed,
        }
    }

    fn finish(self: Box<Self>, failure: Option<&StoreError>) {
        let unstarted = || Err(StoreError::Unavailable("the change was not started".into()));
        let result = match (self.done, failure) {
            (Some(Ok(_)), Some(error)) => Err(error.share()),
            (done, _) => done.unwrap_or_else(unstarted),
        };
        let _ = self.reply.send(result);
    }
}
