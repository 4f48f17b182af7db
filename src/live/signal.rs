//! Waking a stream: what has happened to it is noted in a few bits and join_numbers, however often it happens, so that a stream
//! that sleeps or lags costs the senders nothing more than the first note.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use futures_util::task::AtomicWaker;

use super::fanout::Batch;
use super::stream::Resting;
use crate::model::event_id::JoinNumber;
use crate::model::{Millis, Seq, StreamId, TopicId};
use crate::store::TopicKey;

/// Direct messages in which something is new, with the newest entry of each.
pub(super) type Activity = BTreeMap<TopicKey, (TopicId, Seq)>;

/// Why a stream ends; the contract's words for `bye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The instance stops.
    Shutdown,
    /// The stream is as old as it may become.
    MaxAge,
    /// The session has opened another one.
    Replaced,
    /// The session's time has run out.
    Expired,
    /// The session was ended.
    SignedOut,
}

impl End {
    /// The `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::MaxAge => "max_age",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::SignedOut => "signed_out",
        }
    }

    /// Whether the client shall come back.
    pub fn reconnect(self) -> bool {
        matches!(self, Self::Shutdown | Self::MaxAge)
    }
}

/// What has happened since the stream looked last.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Topics with something new.
    pub(super) ready: Vec<JoinNumber>,
    /// Joins were made or have ended.
    pub(super) joins: bool,
    /// Something is new in direct messages of the user: no more of them than the user has.
    pub(super) activity: Activity,
    /// The stream is over.
    pub(super) end: Option<End>,
}

/// A stream's bell.
#[derive(Debug, Default)]
pub(super) struct Wake {
    // Not an async mutex: nothing is awaited while it is held.
    signals: Mutex<Signals>,
    /// Something has been noted since the stream waited last. A stream has one task, so one waker is enough.
    rang: AtomicBool,
    waker: AtomicWaker,
    /// The stream, while it rests.
    // Not an async mutex: nothing is awaited while it is held.
    resting: Mutex<Option<Resting>>,
    /// The id of the stream; 0 while it is being opened.
    stream_id: AtomicU64,
    /// The newest stream that its session has opened, anywhere, as far as has been told.
    newest: AtomicU64,
    /// The version of its session's joins that it knows.
    joins: AtomicI64,
    /// When it was hung up, by the database's clock.
    since: Millis,
}

impl Wake {
    /// A bell that is hung up at this time.
    pub(super) fn new(since: Millis) -> Self {
        Self { since, ..Self::default() }
    }

    /// Since when it has been there.
    pub(super) fn since(&self) -> Millis {
        self.since
    }

    /// Takes what has happened, and leaves the caller's empty ones in their place: their memory is used again.
    pub(super) fn take(&self, empty: &mut Signals) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// Whether something happens, or has happened since the last wait.
    pub(super) fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.rang.swap(false, Ordering::AcqRel) {
            self.waker.register(cx.waker());
            // What rang just before that has met no waker.
            if !self.rang.swap(false, Ordering::AcqRel) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Whether something has happened since the last wait.
    pub(super) fn has_rung(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }

    /// Where the stream lies while it rests.
    pub(super) fn resting(&self) -> MutexGuard<'_, Option<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ring(&self) {
        if !self.rang.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// The session's joins have changed.
    pub(super) fn joins_changed(&self) {
        self.lock().joins = true;
        self.ring();
    }

    /// Whether joins have changed since the stream looked last.
    pub(super) fn joins_noted(&self) -> bool {
        self.lock().joins
    }

    /// Something is new in a direct message of the user.
    pub(super) fn active(&self, key: TopicKey, topic: &TopicId, last: Seq) {
        let mut signals = self.lock();
        let (_, newest) = signals.activity.entry(key).or_insert_with(|| (topic.clone(), last));
        *newest = last.max(*newest);
        drop(signals);
        self.ring();
    }

    /// The stream is over; the first reason stands.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.ring();
    }

    pub(super) fn stream_id(&self) -> StreamId {
        StreamId(self.stream_id.load(Ordering::Acquire))
    }

    pub(super) fn set_stream_id(&self, stream: StreamId) {
        // In one order with `newer_opened`: one of the two sees the other.
        self.stream_id.store(stream.0, Ordering::SeqCst);
        self.newer_opened(stream);
    }

    /// The session has opened this stream, here or elsewhere: older ones are replaced, one that is
    /// just being opened as soon as it is known to be older.
    pub(super) fn newer_opened(&self, newest: StreamId) {
        let newest = self.newest.fetch_max(newest.0, Ordering::SeqCst).max(newest.0);
        let own = self.stream_id.load(Ordering::SeqCst);
        if own != 0 && own < newest {
            self.end(End::Replaced);
        }
    }

    /// The version of the session's joins that the stream has read.
    pub(super) fn joins(&self) -> i64 {
        self.joins.load(Ordering::Acquire)
    }

    pub(super) fn set_joins(&self, version: i64) {
        self.joins.store(version, Ordering::Release);
    }

    fn ready(&self, join_number: JoinNumber) {
        self.lock().ready.push(join_number);
        self.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's ear on one topic.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) wake: Arc<Wake>,
    join_number: JoinNumber,
    /// Whether the join_number is noted already: it is noted once, however much comes.
    noted: AtomicBool,
    /// Whether a presence interval has brought a change.
    presence: AtomicBool,
}

impl Listener {
    pub(super) fn new(wake: Arc<Wake>, join_number: JoinNumber) -> Self {
        Self { wake, join_number, noted: AtomicBool::new(false), presence: AtomicBool::new(false) }
    }

    /// Something is new in the topic.
    pub(super) fn notice(&self) {
        if !self.noted.swap(true, Ordering::AcqRel) {
            self.wake.ready(self.join_number);
        }
    }

    /// Writes entries at once, where the stream rests and needs nothing else; answers whether it needs nothing more.
    pub(super) fn serve(&self, batch: &Batch, scratch: &mut BytesMut, now: Instant) -> bool {
        let mut resting = self.wake.resting();
        resting.as_mut().is_some_and(|resting| resting.serve(self.join_number, batch, scratch, now))
    }

    /// A presence interval has brought a change.
    pub(super) fn notice_presence(&self) {
        self.presence.store(true, Ordering::Release);
        self.notice();
    }

    /// The stream is about to look: what comes from here on is to be noted again. Answers whether presence has changed.
    pub(super) fn look(&self) -> bool {
        self.noted.store(false, Ordering::Release);
        self.presence.swap(false, Ordering::AcqRel)
    }
}
