//! The log's writer: while one batch commits, the next one gathers, and each is one transaction.
//!
//! A topic always goes to the same lane, so that its entries reach the hub in the order of their numbers. What a lane has
//! taken runs to its end, whatever becomes of the requests: a sender that hangs up changes nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::ChatError;
use crate::live::Hub;
use crate::model::{Entry, Millis, TopicId};
use crate::store::{AppendError, Draft, DraftError, Store, StoreError, Stored, TopicKey};

/// Drafts that may wait in a lane; one more is refused.
const QUEUE: usize = 2048;
/// Drafts of one transaction.
const BATCH_ROWS: usize = 128;
/// Their content, in bytes, give or take one draft.
const BATCH_BYTES: usize = 512 * 1024;
/// How long a draft may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a sender waits for its answer at the longest.
const LONGEST: Duration = Duration::from_secs(8);

/// What a sender gets.
#[derive(Clone, Debug)]
pub(super) struct Appended {
    /// The message as JSON.
    pub(super) json: Bytes,
    /// Whether it was stored just now, and not by an earlier request with the same key.
    pub(super) fresh: bool,
    /// Until when the sender is online without a stream.
    pub(super) online_until: Option<Millis>,
}

type Reply = oneshot::Sender<Result<Appended, ChatError>>;

struct Waiting {
    draft: Draft,
    since: Instant,
    reply: Reply,
}

/// The lanes.
#[derive(Debug)]
pub(super) struct Log {
    lanes: Vec<mpsc::Sender<Waiting>>,
}

impl Log {
    /// Starts the lanes; they end with the log.
    pub(super) fn start(store: &Store, hub: &Hub) -> Self {
        let start = |_| {
            let (lane, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(Lane { store: store.clone(), hub: hub.clone() }.run(waiting));
            lane
        };
        Self { lanes: (0..store.lanes()).map(start).collect() }
    }

    /// Stores a draft and answers once it is durable and on its way to the listeners.
    pub(super) async fn append(&self, draft: Draft) -> Result<Appended, ChatError> {
        let mut hasher = DefaultHasher::new();
        draft.topic.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % self.lanes.len() as u64).unwrap_or(0);
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { draft, since: Instant::now(), reply };
        self.lanes[lane].try_send(waiting).map_err(|_| ChatError::Unavailable)?;
        // A database that swallows statements must not hold senders; what becomes of the draft, its key tells later.
        let answer = tokio::time::timeout(LONGEST, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(ChatError::Unavailable))
    }
}

#[derive(Clone)]
struct Lane {
    store: Store,
    hub: Hub,
}

impl Lane {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        while let Some(first) = queue.recv().await {
            let (mut drafts, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut next = Some(first);
            while let Some(Waiting { draft, since, reply }) = next.take() {
                if since.elapsed() < PATIENCE {
                    bytes += draft.content.as_str().len();
                    drafts.push(draft);
                    replies.push(reply);
                } else {
                    let _ = reply.send(Err(ChatError::Unavailable));
                }
                if drafts.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                    next = queue.try_recv().ok();
                }
            }
            if drafts.is_empty() {
                continue;
            }
            // A panic must not take the lane with it: each batch has a task of its own.
            let lane = self.clone();
            if let Err(error) = tokio::spawn(async move { lane.commit(drafts.into(), replies).await }).await {
                tracing::error!(%error, "a batch of drafts was given up");
            }
        }
    }

    async fn commit(&self, drafts: Arc<[Draft]>, replies: Vec<Reply>) {
        match self.store.append(&drafts).await {
            Ok(done) => self.deliver(done, replies),
            Err(AppendError::Unknown(error)) => self.look_up(&drafts, replies, &error).await,
            Err(AppendError::Refused(StoreError::Unavailable(why))) => {
                tracing::warn!(why, drafts = drafts.len(), "drafts were not stored");
                replies.into_iter().for_each(|reply| drop(reply.send(Err(ChatError::Unavailable))));
            }
            Err(AppendError::Refused(error)) if drafts.len() == 1 => {
                replies.into_iter().next().map(|reply| reply.send(Err(error.into())));
            }
            // One bad draft spoils nothing: the others are stored without it.
            Err(AppendError::Refused(error)) => {
                tracing::warn!(%error, drafts = drafts.len(), "a batch failed and is stored one by one");
                for (draft, reply) in drafts.iter().zip(replies) {
                    Box::pin(self.commit(Arc::new([draft.clone()]), vec![reply])).await;
                }
            }
        }
    }

    /// The answer to a COMMIT was lost: the log itself tells what it holds.
    async fn look_up(&self, drafts: &Arc<[Draft]>, replies: Vec<Reply>, error: &StoreError) {
        tracing::warn!(%error, drafts = drafts.len(), "a commit was not answered");
        let deadline = Instant::now() + PATIENCE * 2;
        let mut stored = loop {
            match self.store.which_stored(drafts).await {
                Ok(stored) => break stored,
                Err(error) if Instant::now() > deadline => {
                    tracing::error!(%error, drafts = drafts.len(), "it is not known which drafts were stored");
                    break HashMap::new();
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        let (mut done, mut known) = (Vec::new(), Vec::new());
        for (draft, reply) in drafts.iter().zip(replies) {
            if let Some(stored) = stored.remove(&draft.id) {
                done.push(Ok(stored));
                known.push(reply);
            } else {
                let _ = reply.send(Err(ChatError::Unavailable));
            }
        }
        self.deliver(done, known);
    }

    /// First the listeners, then the senders: an acknowledged message is on its way already.
    fn deliver(&self, done: Vec<Result<Stored, DraftError>>, replies: Vec<Reply>) {
        let mut topics: HashMap<TopicKey, (TopicId, Vec<Entry>)> = HashMap::new();
        let mut answers = Vec::with_capacity(done.len());
        for stored in done {
            answers.push(stored.map_err(ChatError::from).map(|stored| {
                let entry = stored.message.render();
                let json = entry.json.clone();
                if stored.fresh {
                    let topic = topics.entry(stored.key);
                    topic.or_insert_with(|| (stored.message.topic, Vec::new())).1.push(entry);
                }
                Appended { json, fresh: stored.fresh, online_until: stored.online_until }
            }));
        }
        let stored: usize = topics.values().map(|(_, entries)| entries.len()).sum();
        metrics::counter!("parlour_messages_total").increment(stored as u64);
        for (key, (topic, mut entries)) in topics {
            entries.sort_unstable_by_key(|entry| entry.seq);
            self.hub.appended(key, &topic, entries);
        }
        for (answer, reply) in answers.into_iter().zip(replies) {
            let _ = reply.send(answer); // a sender that has gone misses its answer, not its message
        }
    }
}

impl From<DraftError> for ChatError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::SessionEnded => Self::Unauthenticated(super::sessions::ENDED),
            DraftError::NotJoined => Self::NotJoined,
            DraftError::KeyReused => Self::KeyReused,
        }
    }
}
