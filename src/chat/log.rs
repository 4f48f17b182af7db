//! The log's writer: while one batch commits, the next one gathers, and each is one transaction.
//!
//! The larger a batch, the less a message costs. So another transaction is begun beside one only where that takes its time:
//! over a long way to the database, or behind a row that somebody holds; and where many come, the first of them is held
//! back for a moment (`company`). A topic is in one batch at a time, so that its entries reach the hub in the order of their
//! numbers. What has been taken runs to its end, whatever becomes of the requests: a sender that hangs up changes nothing.

mod company;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{self, JoinError, JoinSet};

use self::company::Company;
use super::error::ChatError;
use crate::live::Hub;
use crate::model::{Entry, Millis, SessionId, TopicId};
use crate::store::{AppendError, Draft, DraftError, Store, StoreError, StoredMessage, TopicKey};

/// Drafts that may wait; one more is refused.
const QUEUE: usize = 4096;
/// How long drafts gather before another transaction is begun beside those that run.
const GATHER: Duration = Duration::from_millis(10);
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

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Log {
    drafts: mpsc::Sender<Waiting>,
    /// So many wait that none need be held back.
    enough: Arc<Notify>,
}

impl Log {
    /// Starts the writer; it ends with the log.
    pub(super) fn start(store: &Store, hub: &Hub) -> Self {
        let (drafts, queue) = mpsc::channel(QUEUE);
        let (writer, enough) = (Writer { store: store.clone(), hub: hub.clone() }, Arc::new(Notify::new()));
        tokio::spawn(Batches::new(writer, store.lanes()).run(queue, enough.clone()));
        Self { drafts, enough }
    }

    /// Stores a draft and answers once it is durable and on its way to the listeners.
    pub(super) async fn append(&self, draft: Draft) -> Result<Appended, ChatError> {
        let (reply, answer) = oneshot::channel();
        self.push(Waiting { draft, since: Instant::now(), reply })?;
        // A database that swallows statements must not hold senders; what becomes of the draft, its key tells later.
        let answer = tokio::time::timeout(LONGEST, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(ChatError::Unavailable))
    }

    fn push(&self, waiting: Waiting) -> Result<(), ChatError> {
        self.drafts.try_send(waiting).map_err(|_| ChatError::Unavailable)?;
        if self.drafts.max_capacity() - self.drafts.capacity() >= company::ENOUGH {
            self.enough.notify_one();
        }
        Ok(())
    }
}

/// What waits, and what is being written.
struct Batches {
    writer: Writer,
    /// So many transactions may run at once.
    lanes: usize,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    running: JoinSet<()>,
    /// What each batch that runs is about.
    taken: HashMap<task::Id, Taken>,
    company: Company,
}

/// What a batch is about.
struct Taken {
    topics: HashSet<TopicId>,
    senders: Vec<SessionId>,
}

impl Batches {
    fn new(writer: Writer, lanes: usize) -> Self {
        let (waiting, running, taken) = (VecDeque::new(), JoinSet::new(), HashMap::new());
        Self { writer, lanes, waiting, running, taken, company: Company::new(Instant::now()) }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Waiting>, enough: Arc<Notify>) {
        let mut come = Vec::new();
        loop {
            let mut next = self.begin();
            if let Some(due) = next.filter(|_| self.running.is_empty()) {
                // Held back for company: to be woken for each of those who come would cost more than to receive them.
                let _ = tokio::time::timeout_at(due.into(), enough.notified()).await;
                while self.waiting.len() + come.len() < QUEUE
                    && let Ok(waiting) = queue.try_recv()
                {
                    come.push(waiting);
                }
                self.take_in(&mut come);
                next = self.begin();
            }
            let later = next.is_some();
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                count = queue.recv_many(&mut come, BATCH_ROWS), if self.waiting.len() < QUEUE => {
                    if count == 0 {
                        return self.finish().await;
                    }
                    self.take_in(&mut come);
                }
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into()), if later => {}
            }
        }
    }

    fn take_in(&mut self, come: &mut Vec<Waiting>) {
        for waiting in come.drain(..) {
            self.company.came(waiting.draft.session, waiting.since);
            self.waiting.push_back(waiting);
        }
    }

    /// Nobody sends any more: what has come is written.
    async fn finish(mut self) {
        self.company = Company::new(Instant::now()); // nobody is waited for
        while !self.waiting.is_empty() || !self.running.is_empty() {
            self.begin();
            if let Some(ended) = self.running.join_next_with_id().await {
                self.end(ended);
            }
        }
    }

    /// Begins what is due; answers when something may be that has to gather still.
    fn begin(&mut self) -> Option<Instant> {
        while self.running.len() < self.lanes {
            let first = self.waiting.iter().find(|waiting| self.is_free(&waiting.draft.topic))?;
            let due = first.since + self.hold();
            if Instant::now() < due {
                return Some(due);
            }
            let (drafts, replies) = self.take();
            if drafts.is_empty() {
                continue;
            }
            let topics = drafts.iter().map(|draft| draft.topic.clone()).collect();
            let senders = drafts.iter().map(|draft| draft.session).collect();
            // A panic must not take the writer with it: each batch has a task of its own.
            let writer = self.writer.clone();
            let id = self.running.spawn(async move { writer.commit(drafts.into(), replies).await }).id();
            self.taken.insert(id, Taken { topics, senders });
        }
        None
    }

    /// How long the first draft of a batch waits for others.
    fn hold(&self) -> Duration {
        if !self.running.is_empty() {
            return GATHER;
        }
        let worth = self.waiting.len() < company::ENOUGH && self.company.is_expected(Instant::now());
        if worth { company::HOLD } else { Duration::ZERO }
    }

    /// Whether a topic is in none of the batches that run.
    fn is_free(&self, topic: &TopicId) -> bool {
        !self.taken.values().any(|taken| taken.topics.contains(topic))
    }

    /// The next batch: drafts whose topics are in none that runs.
    fn take(&mut self) -> (Vec<Draft>, Vec<Reply>) {
        let (mut drafts, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut left = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            if !self.is_free(&waiting.draft.topic) {
                left.push_back(waiting);
                continue;
            }
            let Waiting { draft, since, reply } = waiting;
            if since.elapsed() >= PATIENCE {
                let _ = reply.send(Err(ChatError::Unavailable));
                continue;
            }
            bytes += draft.content.as_str().len();
            drafts.push(draft);
            replies.push(reply);
            if drafts.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                break;
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        (drafts, replies)
    }

    fn end(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a batch of drafts was given up");
                error.id()
            }
        };
        if let Some(taken) = self.taken.remove(&id) {
            self.company.answered(taken.senders, Instant::now());
        }
    }
}

#[derive(Clone)]
struct Writer {
    store: Store,
    hub: Hub,
}

impl Writer {
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
    fn deliver(&self, done: Vec<Result<StoredMessage, DraftError>>, replies: Vec<Reply>) {
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
            DraftError::SessionEnded => Self::session_ended(),
            DraftError::NotJoined => Self::NotJoined,
            DraftError::KeyReused => Self::KeyReused,
        }
    }
}

#[cfg(test)]
mod tests;
