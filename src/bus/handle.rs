//! The handle of the bus, which the hub publishes hints with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::hint::{Hint, Interest};
use super::outbox::Outbox;
use super::state::{BusError, BusState};
use super::{nats, postgres};
use crate::model::Clock;

/// The hints that may wait to be sent. When the queue is full, hints are dropped.
const SEND_QUEUE_CAPACITY: usize = 4096;
/// The size of the payloads, in bytes, above which hints are queued without their entries.
const SEND_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// The time limit of [`Bus::close`].
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The time limit of [`Bus::settled`]. The reconciliation with the database finds what is missed after it.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);

/// The carrier of the hints; see `PARLOUR_BUS`.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// None: there is one instance.
    Local,
    /// `LISTEN` and `NOTIFY` over the database at this URL.
    Postgres(SecretString),
    /// The NATS server at this URL, or several, separated by commas.
    Nats(SecretString),
}

/// The bus. Cheap to clone. It stops with the last clone, or with [`Bus::close`].
#[derive(Clone, Debug)]
pub(crate) struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    send_queue: mpsc::Sender<Hint>,
    state: Arc<BusState>,
    tasks: TaskTracker,
}

/// The parts of a running backend that the handle uses.
#[derive(Debug)]
enum Transport {
    Local,
    /// Every instance receives all hints.
    Postgres,
    /// An instance receives the hints that it has an interest in.
    Nats(Arc<nats::Interests>),
}

impl Bus {
    /// Starts the tasks of a bus. The receiver yields the hints of other instances. `epoch` separates databases that share
    /// a server, and `instance` is the id of this instance, which does not receive its own hints.
    ///
    /// # Errors
    /// [`BusError`] if the URL of the backend cannot be parsed. A server that cannot be reached is no error.
    pub(crate) fn start(
        backend: Backend,
        instance: Uuid,
        epoch: u32,
        clock: Clock,
    ) -> Result<(Self, mpsc::Receiver<Hint>), BusError> {
        let (send_queue, queued) = mpsc::channel(SEND_QUEUE_CAPACITY);
        let is_local = matches!(backend, Backend::Local);
        let (state, received) = BusState::new(instance, epoch, clock, is_local);
        let state = Arc::new(state);
        metrics::counter!("parlour_bus_dropped_total").increment(0); // so that the counter is exported from the start
        let outbox = Outbox::new(queued, state.clone());
        let tasks = TaskTracker::new();
        let transport = match backend {
            Backend::Local => Transport::Local,
            Backend::Postgres(url) => {
                postgres::start(&url, state.clone(), outbox, &tasks)?;
                Transport::Postgres
            }
            Backend::Nats(url) => Transport::Nats(nats::start(&url, state.clone(), outbox, &tasks)?),
        };
        tasks.close();
        Ok((Self { inner: Arc::new(Inner { transport, send_queue, state, tasks }) }, received))
    }

    /// Queues a hint to be sent to the instances with an interest in it. It may be lost.
    pub(crate) fn publish(&self, mut hint: Hint) {
        if self.is_local() {
            return;
        }
        let state = &self.inner.state;
        if state.queued_bytes.load(Ordering::Relaxed) > SEND_QUEUE_BYTES {
            hint.limit_entries(0);
        }
        let bytes = hint.payload_bytes();
        state.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.inner.send_queue.try_send(hint).is_err() {
            state.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            state.record_dropped(1);
        }
    }

    /// Reports whether there is no other instance to send hints to.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.inner.transport, Transport::Local)
    }

    /// Adds an interest. Calls are counted: each needs its own [`Bus::unlisten`].
    pub(crate) fn listen(&self, interest: Interest) {
        if let Transport::Nats(interests) = &self.inner.transport {
            interests.add(interest);
        }
    }

    /// Removes an interest that was added by [`Bus::listen`].
    pub(crate) fn unlisten(&self, interest: &Interest) {
        if let Transport::Nats(interests) = &self.inner.transport {
            interests.remove(interest);
        }
    }

    /// Waits until the subscriptions for all interests that were added before are active, for at most 500 ms. Does not
    /// wait while the bus is not connected.
    pub(crate) async fn settled(&self) {
        if let Transport::Nats(interests) = &self.inner.transport
            && self.healthy()
        {
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, interests.settled()).await;
        }
    }

    /// Reports whether the bus is connected, as far as the heartbeats show.
    pub(crate) fn healthy(&self) -> bool {
        self.inner.state.is_connected()
    }

    /// Returns a receiver that is notified when [`Bus::healthy`] changes.
    pub(crate) fn health(&self) -> watch::Receiver<bool> {
        self.inner.state.connected.subscribe()
    }

    /// Waits until the bus is connected, for at most `timeout`. Returns true if it is.
    pub(crate) async fn connected(&self, timeout: Duration) -> bool {
        let mut health = self.health();
        tokio::time::timeout(timeout, health.wait_for(|connected| *connected)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Sends the hints that are queued, within a second, and stops the bus.
    pub(crate) async fn close(&self) {
        self.inner.state.stop.cancel();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.inner.tasks.wait()).await.is_err() {
            tracing::debug!("the last hints were not sent");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}
