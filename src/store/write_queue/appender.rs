//! Stores one batch of drafts, delivers its entries, and answers the senders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::commit;
use super::queued_write::QueuedWrite;
use super::types::{AppendError, Appended, Delivery, NewEntries, Reply};
use crate::model::{Millis, TopicKey};
use crate::store::error::StoreError;
use crate::store::messages::append::which_stored;
use crate::store::messages::draft::{Draft, DraftError};
use crate::store::messages::types::{AppendedDrafts, BatchError};
use crate::store::pool::Pool;

/// The time for which the log is read for the drafts of a COMMIT whose answer was lost.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(4);
/// The pause between two attempts to read it.
const LOOK_UP_INTERVAL: Duration = Duration::from_millis(200);

/// Drafts that are stored together, and the senders that wait for their answers in the same order.
pub(super) struct Batch {
    pub(super) drafts: Arc<[Draft]>,
    pub(super) replies: Vec<Reply>,
}

/// Stores batches. Cheap to clone.
#[derive(Clone)]
pub(super) struct Appender {
    pub(super) pool: Pool,
    pub(super) delivery: Delivery,
    /// The database's time.
    pub(super) now: Arc<dyn Fn() -> Millis + Send + Sync>,
}

impl Appender {
    /// Stores a batch and, in the same transaction, the writes that wait beside it. `connection` is given back as soon as
    /// the transaction has ended.
    pub(super) async fn run(
        &self,
        batch: Batch,
        mut writes: Vec<Box<dyn QueuedWrite>>,
        connection: OwnedSemaphorePermit,
    ) {
        let now = (self.now)();
        let drafts = batch.drafts.clone();
        let committed = self.pool.work(move |client| {
            Box::pin(async move {
                let (appended, failure) = commit::commit_drafts(&client, &mut writes, &drafts, now).await;
                (appended, writes, failure)
            })
        });
        // Where the work itself was lost, so were the writes: their callers find that their answers never come.
        let (appended, writes, failure) =
            committed.await.unwrap_or_else(|error| (Err(BatchError::NotStored(error)), Vec::new(), None));
        drop(connection);
        // First the listeners, then the senders: an acknowledged message is on its way already.
        let answers = appended.map(|appended| self.deliver(appended));
        commit::answer(writes, failure.as_ref());
        self.answer(batch, answers).await;
    }

    async fn answer(&self, batch: Batch, answers: Result<Vec<Result<Appended, DraftError>>, BatchError>) {
        let Batch { drafts, replies } = batch;
        match answers {
            Ok(answers) => send(answers, replies),
            Err(BatchError::Unknown(error)) => self.look_up(&drafts, replies, &error).await,
            Err(BatchError::NotStored(StoreError::Unavailable(why))) => {
                tracing::warn!(why, drafts = drafts.len(), "drafts were not stored");
                for reply in replies {
                    let _ = reply.send(Err(AppendError::Unavailable));
                }
            }
            Err(BatchError::NotStored(error)) if drafts.len() == 1 => {
                for reply in replies {
                    let _ = reply.send(Err(AppendError::Failed(error.clone())));
                }
            }
            // The others are stored without the one that fails.
            Err(BatchError::NotStored(error)) => {
                tracing::warn!(%error, drafts = drafts.len(), "a batch failed and is stored one by one");
                for (draft, reply) in drafts.iter().zip(replies) {
                    self.append_one(draft.clone(), reply).await;
                }
            }
        }
    }

    async fn append_one(&self, draft: Draft, reply: Reply) {
        let now = (self.now)();
        let drafts: Arc<[Draft]> = Arc::new([draft]);
        let batch = Batch { drafts: drafts.clone(), replies: vec![reply] };
        let appended = self
            .pool
            .work(move |client| Box::pin(async move { commit::commit_drafts(&client, &mut [], &drafts, now).await.0 }));
        let appended = appended.await.unwrap_or_else(|error| Err(BatchError::NotStored(error)));
        let answers = appended.map(|appended| self.deliver(appended));
        Box::pin(self.answer(batch, answers)).await;
    }

    /// Reads from the log which drafts it holds, after a COMMIT whose answer was lost.
    async fn look_up(&self, drafts: &Arc<[Draft]>, replies: Vec<Reply>, error: &StoreError) {
        tracing::warn!(%error, drafts = drafts.len(), "a commit was not answered");
        let deadline = Instant::now() + LOOK_UP_TIMEOUT;
        let mut stored = loop {
            let drafts = drafts.clone();
            let read = self.pool.work(move |client| Box::pin(async move { which_stored(&client, &drafts).await }));
            match read.await.and_then(|stored| stored) {
                Ok(stored) => break stored,
                Err(error) if Instant::now() > deadline => {
                    tracing::error!(%error, "it is not known which drafts of a batch were stored");
                    break HashMap::new();
                }
                Err(_) => tokio::time::sleep(LOOK_UP_INTERVAL).await,
            }
        };
        let mut found = Vec::new();
        let mut found_replies = Vec::new();
        for (draft, reply) in drafts.iter().zip(replies) {
            if let Some(stored) = stored.remove(&draft.id) {
                found.push(Ok(stored));
                found_replies.push(reply);
            } else {
                let _ = reply.send(Err(AppendError::Unavailable));
            }
        }
        send(self.deliver(found), found_replies);
    }

    /// Delivers the new entries; returns the answers to the senders.
    fn deliver(&self, appended: AppendedDrafts) -> Vec<Result<Appended, DraftError>> {
        let mut topics: HashMap<TopicKey, NewEntries> = HashMap::new();
        let mut answers = Vec::with_capacity(appended.len());
        for stored in appended {
            answers.push(stored.map(|stored| {
                let entry = stored.message.render();
                let json = entry.json.clone();
                if stored.fresh {
                    let topic = topics.entry(stored.key);
                    let new = || NewEntries { topic: stored.message.topic, entries: Vec::new() };
                    topic.or_insert_with(new).entries.push(entry);
                }
                Appended { json, fresh: stored.fresh, online_until: stored.online_until }
            }));
        }
        for new in topics.values_mut() {
            new.entries.sort_unstable_by_key(|entry| entry.seq);
        }
        self.delivery.deliver(topics);
        answers
    }
}

/// A sender that has gone misses its answer, not its message.
fn send(answers: Vec<Result<Appended, DraftError>>, replies: Vec<Reply>) {
    for (answer, reply) in answers.into_iter().zip(replies) {
        let _ = reply.send(answer.map_err(AppendError::Refused));
    }
}
