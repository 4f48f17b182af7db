//! Decides when a transaction begins, and which drafts and writes are in it.
//!
//! While one batch commits, the next one gathers: the larger a batch, the less a message costs. So another transaction is
//! begun beside one only where that one takes its time, because the database is far away or a row is locked; and where
//! many drafts arrive, the first of them waits for a moment (`batch_delay`). A topic is in one batch at a time, so that its
//! entries are delivered in the order of their numbers. Other write transactions are urgent: they begin as soon as the
//! connection is free, and take the drafts along that wait at that moment.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{self, JoinError, JoinSet};

use super::appender::{Appender, Batch};
use super::batch_delay::BatchDelay;
use super::commit;
use super::queued_write::QueuedWrite;
use super::types::{AppendError, Incoming, QUEUE_CAPACITY, Reply, WaitingDraft, WaitingWrite};
use crate::model::{Millis, SessionId, TopicId};
use crate::store::messages::draft::Draft;
use crate::store::pool::Pool;

/// The time for which drafts gather before another transaction begins beside those that run.
const CONCURRENT_BATCH_DELAY: Duration = Duration::from_millis(10);
/// Drafts of one transaction.
const BATCH_ROWS: usize = 128;
/// The size of their content, in bytes, give or take one draft.
const BATCH_BYTES: usize = 512 * 1024;
/// Other writes of one transaction.
const BATCH_WRITES: usize = 64;
/// The time that a draft or a write may wait for its turn; after that, its caller gets an error.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// When the next transaction may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Once something arrives or a batch ends.
    Event,
    /// At this time: until then, more drafts may arrive.
    At(Instant),
    /// Once the connection is free.
    Connection,
}

/// The drafts and writes that wait, and the batches that run.
pub(in crate::store) struct Scheduler {
    appender: Appender,
    incoming: Incoming,
    /// In the order in which they arrived.
    drafts: VecDeque<WaitingDraft>,
    writes: Vec<WaitingWrite>,
    /// Batches with drafts, until their entries have been delivered.
    pub(super) running: JoinSet<()>,
    /// So many batches with drafts may run at once.
    concurrency: usize,
    /// The topics and the senders of each running batch.
    taken: HashMap<task::Id, Taken>,
    /// A permit for each transaction that may be open.
    connections: Arc<Semaphore>,
    pub(super) delay: BatchDelay,
    /// Nothing more is taken: what has arrived is written, and nothing waits for more.
    closing: bool,
    drafts_ended: bool,
    writes_ended: bool,
}

struct Taken {
    topics: HashSet<TopicId>,
    senders: Vec<SessionId>,
}

impl Scheduler {
    /// `concurrency` is the number of batches of drafts that may run at once; `now` returns the database's time.
    pub(in crate::store) fn new(
        writer: Pool,
        incoming: Incoming,
        concurrency: usize,
        now: impl Fn() -> Millis + Send + Sync + 'static,
    ) -> Self {
        let appender = Appender { pool: writer, delivery: incoming.delivery.clone(), now: Arc::new(now) };
        Self {
            appender,
            incoming,
            drafts: VecDeque::new(),
            writes: Vec::new(),
            running: JoinSet::new(),
            concurrency,
            taken: HashMap::new(),
            connections: Arc::new(Semaphore::new(concurrency)),
            delay: BatchDelay::new(Instant::now()),
            closing: false,
            drafts_ended: false,
            writes_ended: false,
        }
    }

    /// Runs until the queue is closed and everything that has arrived is written.
    pub(in crate::store) async fn run(mut self) {
        let mut arrived = Vec::new();
        while !self.has_ended() {
            match self.begin() {
                Next::At(due) if self.running.is_empty() => self.linger(due).await,
                next => self.wait(next, &mut arrived).await,
            }
        }
    }

    /// Waits until a batch is due. It receives no drafts until then: to be woken for each of them would cost more than to
    /// receive them.
    async fn linger(&mut self, due: Instant) {
        tokio::select! {
            biased;
            count = self.incoming.writes.recv_many(&mut self.writes, BATCH_WRITES), if !self.writes_ended => {
                self.writes_ended = count == 0;
            }
            () = self.incoming.target_reached.notified() => {}
            _ = &mut self.incoming.closing => self.close(),
            () = tokio::time::sleep_until(due.into()) => {}
        }
        self.receive_drafts();
    }

    /// Waits for whatever lets the next transaction begin.
    async fn wait(&mut self, next: Next, arrived: &mut Vec<WaitingDraft>) {
        let due = if let Next::At(due) = next { due } else { Instant::now() };
        tokio::select! {
            biased;
            Some(ended) = self.running.join_next_with_id() => self.end(ended),
            () = a_permit(&self.connections), if next == Next::Connection => {}
            count = self.incoming.writes.recv_many(&mut self.writes, BATCH_WRITES),
                if self.writes.is_empty() && !self.writes_ended => self.writes_ended = count == 0,
            count = self.incoming.drafts.recv_many(arrived, BATCH_ROWS),
                if self.drafts.len() < QUEUE_CAPACITY && !self.drafts_ended => {
                self.drafts_ended = count == 0;
                for waiting in arrived.drain(..) {
                    self.take_in(waiting);
                }
            }
            () = tokio::time::sleep_until(due.into()), if matches!(next, Next::At(_)) => {}
            _ = &mut self.incoming.closing, if !self.closing => self.close(),
            else => {} // everything has ended
        }
    }

    fn take_in(&mut self, waiting: WaitingDraft) {
        self.delay.record_arrival(waiting.draft.session, waiting.since);
        self.drafts.push_back(waiting);
    }

    /// Takes the drafts that have arrived.
    pub(super) fn receive_drafts(&mut self) {
        while self.drafts.len() < QUEUE_CAPACITY
            && let Ok(waiting) = self.incoming.drafts.try_recv()
        {
            self.take_in(waiting);
        }
    }

    /// Takes the writes that have arrived, up to what a transaction takes.
    fn receive_writes(&mut self) {
        while self.writes.len() < BATCH_WRITES
            && let Ok(waiting) = self.incoming.writes.try_recv()
        {
            self.writes.push(waiting);
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.incoming.drafts.close();
        self.incoming.writes.close();
    }

    fn has_ended(&self) -> bool {
        let nothing_waits = self.drafts.is_empty() && self.writes.is_empty() && self.running.is_empty();
        self.drafts_ended && self.writes_ended && nothing_waits
    }

    /// Begins every transaction that may begin now; returns when the next one may.
    pub(super) fn begin(&mut self) -> Next {
        loop {
            self.receive_writes();
            if self.writes.is_empty() {
                if self.running.len() >= self.concurrency {
                    return Next::Event;
                }
                let free = self.drafts.iter().find(|waiting| self.is_free(&waiting.draft.topic));
                let Some(first) = free.map(|waiting| waiting.since) else {
                    return Next::Event;
                };
                let due = first + self.draft_delay();
                if Instant::now() < due {
                    return Next::At(due);
                }
            } else {
                self.receive_drafts();
            }
            let Ok(connection) = self.connections.clone().try_acquire_owned() else {
                return Next::Connection;
            };
            let (drafts, replies) = self.take_drafts();
            let writes = self.take_writes();
            if !drafts.is_empty() {
                self.begin_batch(drafts, replies, writes, connection);
            } else if !writes.is_empty() {
                self.begin_writes(writes, connection);
            }
        }
    }

    /// Returns the time that the first draft of a batch waits for others.
    fn draft_delay(&self) -> Duration {
        if self.closing {
            Duration::ZERO
        } else if self.running.is_empty() {
            self.delay.linger(self.drafts.len(), Instant::now())
        } else {
            CONCURRENT_BATCH_DELAY
        }
    }

    /// Reports whether a topic is in none of the batches that run.
    fn is_free(&self, topic: &TopicId) -> bool {
        !self.taken.values().any(|taken| taken.topics.contains(topic))
    }

    fn begin_batch(
        &mut self,
        drafts: Vec<Draft>,
        replies: Vec<Reply>,
        writes: Vec<Box<dyn QueuedWrite>>,
        connection: OwnedSemaphorePermit,
    ) {
        let topics = drafts.iter().map(|draft| draft.topic.clone()).collect();
        let senders = drafts.iter().map(|draft| draft.session).collect();
        let batch = Batch { drafts: drafts.into(), replies };
        // A panic must not take the scheduler with it: each batch has a task of its own.
        let appender = self.appender.clone();
        let id = self.running.spawn(async move { appender.run(batch, writes, connection).await }).id();
        self.taken.insert(id, Taken { topics, senders });
    }

    /// Begins a transaction of writes alone, which needs no task: its callers are answered where it runs.
    fn begin_writes(&self, writes: Vec<Box<dyn QueuedWrite>>, connection: OwnedSemaphorePermit) {
        let started = self.appender.pool.start(|client| {
            Box::pin(async move {
                commit::commit_writes(&client, writes).await;
                drop(connection);
            })
        });
        if let Err(error) = started {
            tracing::error!(%error, "write transactions were not started");
        }
    }

    fn take_writes(&mut self) -> Vec<Box<dyn QueuedWrite>> {
        let waiting = mem::take(&mut self.writes).into_iter();
        waiting.filter(|(since, _)| since.elapsed() < TURN_TIMEOUT).map(|(_, write)| write).collect()
    }

    /// Takes the next batch: drafts whose topics are in none that runs.
    fn take_drafts(&mut self) -> (Vec<Draft>, Vec<Reply>) {
        let mut drafts = Vec::new();
        let mut replies = Vec::new();
        let mut bytes = 0;
        let mut left = VecDeque::new();
        while let Some(waiting) = self.drafts.pop_front() {
            if !self.is_free(&waiting.draft.topic) {
                left.push_back(waiting);
                continue;
            }
            let WaitingDraft { draft, since, reply } = waiting;
            if since.elapsed() >= TURN_TIMEOUT {
                let _ = reply.send(Err(AppendError::Unavailable));
                continue;
            }
            bytes += draft.content.as_str().len();
            drafts.push(draft);
            replies.push(reply);
            if drafts.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                break;
            }
        }
        left.append(&mut self.drafts);
        self.drafts = left;
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
            self.delay.record_answers(taken.senders, Instant::now());
        }
    }
}

/// Waits until a permit is free. Nothing but the scheduler takes one.
async fn a_permit(connections: &Semaphore) {
    let _ = connections.acquire().await;
}
