//! One transaction of SQLite's writer: the drafts and the other write transactions that waited at the same time.
//!
//! SQLite has one writer and one `fsync` per commit, so all of them share both. Each write has a savepoint of its own, and
//! the drafts together have another: one that fails takes nothing else with it.

use super::queued_write::{QueuedWrite, unless_it_panics};
use crate::model::Millis;
use crate::store::durability::Durability;
use crate::store::error::StoreError;
use crate::store::messages::append::{append, append_alone};
use crate::store::messages::draft::Draft;
use crate::store::messages::types::{AppendedDrafts, BatchError};
use crate::store::pool::{Client, Transaction};

/// Commits write transactions and answers their callers.
pub(super) async fn commit_writes(client: &Client, mut writes: Vec<Box<dyn QueuedWrite>>) {
    let committed = commit_without_drafts(client, &mut writes).await;
    answer(writes, committed.err().as_ref());
}

/// Commits drafts and the write transactions that wait beside them. The caller answers the writes, with the error that is
/// returned beside the result of the drafts.
pub(super) async fn commit_drafts(
    client: &Client,
    writes: &mut [Box<dyn QueuedWrite>],
    drafts: &[Draft],
    now: Millis,
) -> (Result<AppendedDrafts, BatchError>, Option<StoreError>) {
    if writes.is_empty() {
        return (append_alone(client, drafts, now).await, None);
    }
    match commit_together(client, writes, drafts, now).await {
        Ok(appended) => (appended.map_err(BatchError::NotStored), None),
        Err(error) => {
            let (BatchError::NotStored(cause) | BatchError::Unknown(cause)) = &error;
            let failure = cause.clone();
            (Err(error), Some(failure))
        }
    }
}

/// Answers the callers of write transactions.
pub(super) fn answer(writes: Vec<Box<dyn QueuedWrite>>, failure: Option<&StoreError>) {
    for write in writes {
        write.answer(failure);
    }
}

async fn commit_without_drafts(client: &Client, writes: &mut [Box<dyn QueuedWrite>]) -> Result<(), StoreError> {
    let durability = writes.iter().map(|write| write.durability()).max().unwrap_or(Durability::Full);
    let transaction = client.begin(durability).await?;
    if let [write] = writes {
        if !write.run(&transaction).await {
            return transaction.rollback().await;
        }
    } else {
        run_each(&transaction, writes).await?;
    }
    transaction.commit().await
}

/// The drafts come first: their entries are delivered before the writes are answered, so entries that a write appends to
/// the same topics reach the listeners in the order of their numbers.
async fn commit_together(
    client: &Client,
    writes: &mut [Box<dyn QueuedWrite>],
    drafts: &[Draft],
    now: Millis,
) -> Result<Result<AppendedDrafts, StoreError>, BatchError> {
    let transaction = client.begin(Durability::Full).await?;
    let part = transaction.begin().await?;
    let appended = unless_it_panics(append(&part, drafts, now)).await;
    end(part, appended.is_ok()).await?;
    run_each(&transaction, writes).await?;
    transaction.commit().await.map_err(BatchError::Unknown)?;
    Ok(appended)
}

/// Runs each write in a savepoint of its own.
async fn run_each(transaction: &Transaction, writes: &mut [Box<dyn QueuedWrite>]) -> Result<(), StoreError> {
    for write in writes {
        let part = transaction.begin().await?;
        let succeeded = write.run(&part).await;
        end(part, succeeded).await?;
    }
    Ok(())
}

async fn end(part: Transaction, succeeded: bool) -> Result<(), StoreError> {
    if succeeded { part.commit().await } else { part.rollback().await }
}
