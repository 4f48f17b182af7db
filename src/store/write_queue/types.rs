//! The types between the callers of the write queue and its task.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::queued_write::QueuedWrite;
use crate::model::{Entry, Millis, TopicId, TopicKey};
use crate::store::error::StoreError;
use crate::store::messages::draft::{Draft, DraftError};

/// Drafts that may wait, and other writes that may; one more is refused.
pub(super) const QUEUE_CAPACITY: usize = 4096;
/// The answer to a sender.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    /// The message as JSON.
    pub json: Bytes,
    /// True if it was stored by this call, and not by an earlier one with the same idempotency key.
    pub fresh: bool,
    /// The end of the time for which the sender is online without a stream; `None` while a stream of theirs is open.
    pub online_until: Option<Millis>,
}

/// Why a message was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The session may not send it.
    #[error("the draft was refused: {0:?}")]
    Refused(DraftError),
    /// The database is away, or everything is busy for longer than a sender should wait. It may have been stored all the
    /// same: the idempotency key finds out. The cause has been logged, once for its batch.
    #[error("the draft could not be stored at the moment")]
    Unavailable,
    /// A fault of this program or of the schema.
    #[error(transparent)]
    Failed(StoreError),
}

pub(super) type Reply = oneshot::Sender<Result<Appended, AppendError>>;

/// The new entries of one topic.
#[derive(Debug)]
pub(crate) struct NewEntries {
    /// The topic's id.
    pub topic: TopicId,
    /// The entries, in the order of their numbers.
    pub entries: Vec<Entry>,
}

/// Called with the new entries of each batch by topic, after the commit and before the senders get their answers. Batches
/// of the same topic are delivered in the order of their numbers.
type Deliver = dyn Fn(HashMap<TopicKey, NewEntries>) + Send + Sync;

/// The callback that gets new entries, once it has been set.
#[derive(Clone, Default)]
pub(super) struct Delivery(Arc<Mutex<Option<Arc<Deliver>>>>);

impl Delivery {
    pub(super) fn set(&self, deliver: impl Fn(HashMap<TopicKey, NewEntries>) + Send + Sync + 'static) {
        *self.0.lock() = Some(Arc::new(deliver));
    }

    /// Drops the callback, which may hold what holds the store.
    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn deliver(&self, entries: HashMap<TopicKey, NewEntries>) {
        let deliver = self.0.lock().clone();
        if let Some(deliver) = deliver {
            deliver(entries);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// A draft with its sender.
pub(super) struct WaitingDraft {
    pub(super) draft: Draft,
    pub(super) since: Instant,
    pub(super) reply: Reply,
}

/// A write transaction with the time of its arrival.
pub(super) type WaitingWrite = (Instant, Box<dyn QueuedWrite>);

/// The receivers of drafts and writes, and the callback that gets new entries.
pub(in crate::store) struct Incoming {
    pub(super) drafts: mpsc::Receiver<WaitingDraft>,
    pub(super) writes: mpsc::Receiver<WaitingWrite>,
    /// Resolves once nothing more is to be taken.
    pub(super) closing: oneshot::Receiver<()>,
    /// Notified once so many drafts are in the channel that none need wait for more.
    pub(super) target_reached: Arc<Notify>,
    pub(super) delivery: Delivery,
}
