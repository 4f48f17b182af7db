//! The bus: carries hints from the instance where something was committed to those that have streams to tell of it.
//!
//! It promises nothing but speed. A hint may be lost, doubled, or overtaken by another; every reader compares what it is
//! told by `seq` and checkpoint, and a slow comparison with the database finds whatever was not told. So publishing never
//! waits and never fails: what does not fit into a bounded queue is dropped, and counted.
//!
//! Of its health the bus has one notion, whatever carries it: an instance that hears itself is connected. It sends itself
//! a beat every two seconds, over the same way as everything else; a way that only looks open, as `LISTEN` through a
//! connection pooler, counts as closed. While it is closed, the hub compares twice a second.

mod backoff;
mod hint;
mod nats;
mod outbox;
mod postgres;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use hint::{Hint, Interest};

use self::outbox::Outbox;
use crate::model::Clock;

/// Hints that may wait to be sent; one more is dropped.
const QUEUE: usize = 4096;
/// What waits takes at most so many bytes: beyond that, entries are left out.
const QUEUED_BYTES: usize = 16 * 1024 * 1024;
/// Hints of others that may wait to be applied, which takes no time; who sends faster waits, and then loses some.
const HEARD: usize = 4096;
/// How often an instance makes sure that it hears itself.
const BEAT: Duration = Duration::from_secs(2);
/// After so long without hearing itself it counts as cut off.
const DEAF: Duration = Duration::from_secs(6);
/// How long what still waits may take to be sent at the end.
const CLOSE: Duration = Duration::from_secs(1);
/// How long whoever begins to listen waits until it is heard of; the comparison with the database finds the rest.
const SETTLE: Duration = Duration::from_millis(500);

/// Which way hints go; see `PARLOUR_BUS`.
#[derive(Clone, Debug)]
pub enum Route {
    /// Nowhere: there is one instance.
    Local,
    /// `LISTEN` and `NOTIFY` over this database.
    Postgres(SecretString),
    /// This NATS server, or several, separated by commas.
    Nats(SecretString),
}

/// Why there is no bus: the setting cannot be. A server that is away is no reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BusError(String);

/// The bus. Cheap to clone; it ends with the last clone, or with [`Bus::close`].
#[derive(Clone, Debug)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    line: Line,
    queue: mpsc::Sender<Hint>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
enum Line {
    Local,
    Postgres,
    Nats(Arc<nats::Interests>),
}

/// What the tasks of a bus share.
#[derive(Debug)]
struct Shared {
    instance: Uuid,
    epoch: u32,
    clock: Clock,
    /// Whether this instance hears itself.
    up: watch::Sender<bool>,
    heard: mpsc::Sender<Hint>,
    /// Bytes of payload that wait to be sent.
    queued: AtomicUsize,
    /// Hints were dropped, and nobody has been told yet.
    lost: AtomicBool,
    stop: CancellationToken,
}

impl Bus {
    /// Starts the tasks of a bus; what others say comes out of the receiver. `epoch` keeps databases apart that share a
    /// server, and `instance` is this instance, whose own hints it does not hear.
    pub fn start(
        route: Route,
        instance: Uuid,
        epoch: u32,
        clock: Clock,
    ) -> Result<(Self, mpsc::Receiver<Hint>), BusError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (heard, hearing) = mpsc::channel(HEARD);
        let shared = Arc::new(Shared {
            instance,
            epoch,
            clock,
            up: watch::Sender::new(matches!(route, Route::Local)),
            heard,
            queued: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            stop: CancellationToken::new(),
        });
        metrics::counter!("parlour_bus_dropped_total").increment(0); // shown from the start
        let outbox = Outbox::new(waiting, shared.clone());
        let tasks = TaskTracker::new();
        let line = match route {
            Route::Local => Line::Local,
            Route::Postgres(url) => {
                postgres::start(&url, shared.clone(), outbox, &tasks)?;
                Line::Postgres
            }
            Route::Nats(url) => Line::Nats(nats::start(&url, shared.clone(), outbox, &tasks)?),
        };
        tasks.close();
        Ok((Self { inner: Arc::new(Inner { line, queue, shared, tasks }) }, hearing))
    }

    /// Sends a hint to whoever may want it, some time soon, or not at all.
    pub fn publish(&self, mut hint: Hint) {
        if self.is_local() {
            return;
        }
        let shared = &self.inner.shared;
        if shared.queued.load(Ordering::Relaxed) > QUEUED_BYTES {
            hint.shorten(0);
        }
        let size = hint.payload();
        shared.queued.fetch_add(size, Ordering::Relaxed);
        if self.inner.queue.try_send(hint).is_err() {
            shared.queued.fetch_sub(size, Ordering::Relaxed);
            shared.dropped(1);
        }
    }

    /// Whether hints go nowhere.
    pub fn is_local(&self) -> bool {
        matches!(self.inner.line, Line::Local)
    }

    /// From here on, what concerns this is heard. Each call counts, and is undone by one [`Bus::unlisten`].
    pub fn listen(&self, interest: Interest) {
        if let Line::Nats(interests) = &self.inner.line {
            interests.add(interest);
        }
    }

    /// What concerns this is not wanted any more.
    pub fn unlisten(&self, interest: &Interest) {
        if let Line::Nats(interests) = &self.inner.line {
            interests.remove(interest);
        }
    }

    /// Waits until all that has been listened to is heard indeed, but not for long, and not at all where the bus is away.
    pub async fn settled(&self) {
        if let Line::Nats(interests) = &self.inner.line
            && self.healthy()
        {
            let _ = tokio::time::timeout(SETTLE, interests.settled()).await;
        }
    }

    /// Whether hints come through, as far as is known.
    pub fn healthy(&self) -> bool {
        *self.inner.shared.up.borrow()
    }

    /// The same, to be waited on.
    pub fn health(&self) -> watch::Receiver<bool> {
        self.inner.shared.up.subscribe()
    }

    /// Waits until hints come through, at most for `patience`; answers whether they do.
    pub async fn connected(&self, patience: Duration) -> bool {
        let mut health = self.health();
        tokio::time::timeout(patience, health.wait_for(|up| *up)).await.is_ok_and(|up| up.is_ok())
    }

    /// Sends what still waits, within a second, and ends.
    pub async fn close(&self) {
        self.inner.shared.stop.cancel();
        if tokio::time::timeout(CLOSE, self.inner.tasks.wait()).await.is_err() {
            tracing::debug!("the last hints were not sent");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// Notes that hints were dropped: the next that come through say so.
    fn dropped(&self, hints: usize) {
        metrics::counter!("parlour_bus_dropped_total").increment(hints as u64);
        self.lost.store(true, Ordering::Release);
    }

    /// This instance has heard itself, or is cut off.
    fn set_up(&self, up: bool) {
        let changed = self.up.send_if_modified(|was| std::mem::replace(was, up) != up);
        match (changed, up) {
            (true, true) => tracing::info!("hints come through"),
            (true, false) => tracing::warn!("no hints come through: what others do is told a little later"),
            (false, _) => {}
        }
    }

    /// Hands on what another instance says; waits while too much of it waits.
    async fn hear(&self, text: &str) {
        for hint in wire::decode(text) {
            let _ = self.heard.send(hint).await; // at the end nobody listens any more
        }
    }
}
