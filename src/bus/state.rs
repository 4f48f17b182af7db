//! The state that the handle of a bus and the tasks of its backend share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hint::Hint;
use super::wire;
use crate::model::Clock;

/// The hints of other instances that may wait to be applied. To apply one takes no time. When the queue is full, the
/// backend waits, and then loses hints.
const RECEIVE_QUEUE_CAPACITY: usize = 4096;

/// The reason why a bus cannot start: the setting is wrong. A server that cannot be reached is no reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BusError(pub(super) String);

/// The state of a bus.
#[derive(Debug)]
pub(super) struct BusState {
    /// The id of this instance.
    pub(super) instance: Uuid,
    /// The epoch of the database.
    pub(super) epoch: u32,
    pub(super) clock: Clock,
    /// True while this instance receives its own heartbeats.
    pub(super) connected: watch::Sender<bool>,
    received: mpsc::Sender<Hint>,
    /// The size of the payloads that wait to be sent, in bytes.
    pub(super) queued_bytes: AtomicUsize,
    /// True if hints were dropped and no [`Hint::Lost`] has been sent since.
    pub(super) lost: AtomicBool,
    pub(super) stop: CancellationToken,
}

impl BusState {
    /// Creates the state, and returns the receiver of other instances' hints with it.
    pub(super) fn new(instance: Uuid, epoch: u32, clock: Clock, connected: bool) -> (Self, mpsc::Receiver<Hint>) {
        let (received, hints) = mpsc::channel(RECEIVE_QUEUE_CAPACITY);
        let state = Self {
            instance,
            epoch,
            clock,
            connected: watch::Sender::new(connected),
            received,
            queued_bytes: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            stop: CancellationToken::new(),
        };
        (state, hints)
    }

    /// Counts hints that were dropped. The next batch that is sent begins with [`Hint::Lost`].
    pub(super) fn record_dropped(&self, hints: usize) {
        metrics::counter!("parlour_bus_dropped_total").increment(hints as u64);
        self.lost.store(true, Ordering::Release);
    }

    /// Reports whether this instance receives its own heartbeats.
    pub(super) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Records whether this instance receives its own heartbeats, and logs a change.
    pub(super) fn set_connected(&self, connected: bool) {
        let changed = self.connected.send_if_modified(|was| std::mem::replace(was, connected) != connected);
        match (changed, connected) {
            (true, true) => tracing::info!("the bus is connected"),
            (true, false) => tracing::warn!("the bus is not connected: changes on other instances arrive later"),
            (false, _) => {}
        }
    }

    /// Decodes the hints of another instance and queues them. Waits while the queue is full.
    pub(super) async fn receive(&self, text: &str) {
        for hint in wire::decode(text) {
            let _ = self.received.send(hint).await; // at shutdown, the receiver is gone
        }
    }
}
