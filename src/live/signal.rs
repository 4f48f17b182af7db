//! The stream signal: wakes a stream's task and collects why.
//!
//! A stream that waits or lags costs the senders no more than the first notification: repeated ones set bits that are set
//! already.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};

use super::parked::Parked;
use crate::model::event_id::JoinNumber;
use crate::model::{Millis, Seq, StreamId, TopicId};
use crate::store::TopicKey;

/// Direct messages that have something new, with the newest entry of each.
pub(super) type NewActivity = BTreeMap<TopicKey, (TopicId, Seq)>;

/// The reason why a stream ends; the contract's words for `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The instance stops.
    Shutdown,
    /// The stream has reached its maximum age.
    MaxAge,
    /// The session has opened another stream.
    Replaced,
    /// The session has expired.
    Expired,
    /// The session was ended.
    SignedOut,
}

impl End {
    /// The `reason`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::MaxAge => "max_age",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::SignedOut => "signed_out",
        }
    }

    /// Returns true if the client shall reconnect.
    pub(super) fn reconnect(self) -> bool {
        matches!(self, Self::Shutdown | Self::MaxAge)
    }
}

/// The events since the stream last took its signals.
#[derive(Debug, Default)]
pub(super) struct PendingSignals {
    /// Joins whose topics have something new.
    pub(super) ready: Vec<JoinNumber>,
    /// True if joins were made or have ended.
    pub(super) joins: bool,
    /// New entries in direct messages of the user; bounded by the number of the user's direct messages.
    pub(super) activity: NewActivity,
    /// The reason why the stream is over.
    pub(super) end: Option<End>,
}

/// Wakes one stream.
#[derive(Debug, Default)]
pub(super) struct StreamSignal {
    // Not an async mutex: nothing is awaited while it is held.
    pending: Mutex<PendingSignals>,
    /// True if something has been added since the stream last waited. A stream has one task, so one waker is enough.
    notified: AtomicBool,
    waker: AtomicWaker,
    /// The stream, while it is parked.
    // Not an async mutex: nothing is awaited while it is held.
    parked: Mutex<Option<Parked>>,
    /// The id of the stream; 0 while it is being opened.
    stream_id: AtomicU64,
    /// The newest stream of the session, on any instance, as far as hints have reported it.
    newest: AtomicU64,
    /// The version of the session's joins that the stream has read.
    joins_version: AtomicI64,
    /// When the signal was registered, by the database's clock.
    since: Millis,
}

impl StreamSignal {
    /// A signal that is registered at this time.
    pub(super) fn new(since: Millis) -> Self {
        Self { since, ..Self::default() }
    }

    /// When the signal was registered, by the database's clock.
    pub(super) fn since(&self) -> Millis {
        self.since
    }

    /// Takes the pending signals and leaves `empty` in their place, so that its memory is used again.
    pub(super) fn take(&self, empty: &mut PendingSignals) {
        std::mem::swap(&mut *self.pending.lock(), empty);
    }

    /// Is ready if the stream was notified since the last wait. Registers the task's waker otherwise.
    pub(super) fn poll_notified(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.notified.swap(false, Ordering::AcqRel) {
            self.waker.register(cx.waker());
            // A notification just before the registration has met no waker.
            if !self.notified.swap(false, Ordering::AcqRel) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Returns true if the stream was notified since the last wait.
    pub(super) fn is_notified(&self) -> bool {
        self.notified.load(Ordering::Acquire)
    }

    /// The parked stream, locked.
    pub(super) fn parked(&self) -> MutexGuard<'_, Option<Parked>> {
        self.parked.lock()
    }

    /// Wakes the stream's task.
    pub(super) fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// A topic of the stream has something new.
    pub(super) fn topic_ready(&self, join_number: JoinNumber) {
        self.pending.lock().ready.push(join_number);
        self.notify();
    }

    /// The session's joins have changed.
    pub(super) fn joins_changed(&self) {
        self.pending.lock().joins = true;
        self.notify();
    }

    /// Returns true if joins have changed since the stream last took its signals.
    pub(super) fn has_joins_pending(&self) -> bool {
        self.pending.lock().joins
    }

    /// A direct message of the user has a new entry.
    pub(super) fn new_activity(&self, key: TopicKey, topic: &TopicId, last: Seq) {
        {
            let mut pending = self.pending.lock();
            let (_, newest) = pending.activity.entry(key).or_insert_with(|| (topic.clone(), last));
            *newest = last.max(*newest);
        }
        self.notify();
    }

    /// Ends the stream; the first reason stands.
    pub(super) fn end(&self, end: End) {
        self.pending.lock().end.get_or_insert(end);
        self.notify();
    }

    pub(super) fn stream_id(&self) -> StreamId {
        StreamId(self.stream_id.load(Ordering::Acquire))
    }

    pub(super) fn set_stream_id(&self, stream: StreamId) {
        // Sequentially consistent with `newer_opened`: one of the two sees the value of the other.
        self.stream_id.store(stream.0, Ordering::SeqCst);
        self.newer_opened(stream);
    }

    /// The session has opened this stream, on this instance or another: an older stream is replaced. One that is still being
    /// opened is replaced as soon as its id is set and is older.
    pub(super) fn newer_opened(&self, newest: StreamId) {
        let newest = self.newest.fetch_max(newest.0, Ordering::SeqCst).max(newest.0);
        let own = self.stream_id.load(Ordering::SeqCst);
        if own != 0 && own < newest {
            self.end(End::Replaced);
        }
    }

    /// The version of the session's joins that the stream has read.
    pub(super) fn joins_version(&self) -> i64 {
        self.joins_version.load(Ordering::Acquire)
    }

    pub(super) fn set_joins_version(&self, version: i64) {
        self.joins_version.store(version, Ordering::Release);
    }
}
