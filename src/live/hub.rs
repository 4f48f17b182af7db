//! The hub: the in-memory part of an instance. It finds the active topics and the streams of sessions and users.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;
use uuid::Uuid;

use super::page_cache::PageCache;
use super::presence::PresenceView;
use super::reported::ReportedActivity;
use super::signal::{End, StreamSignal};
use super::topic::ActiveTopic;
use crate::bus::{Bus, Interest};
use crate::model::event_id::IdTag;
use crate::model::{Clock, SessionId, StreamId, TopicId, UserId};
use crate::store::{Store, StoreError, TopicKey};

/// The settings of the hub; see the environment variables of the same names.
#[derive(Clone, Debug)]
pub(crate) struct HubSettings {
    /// The database's epoch: event ids of another database count as none.
    pub epoch: u32,
    /// The id of this instance.
    pub instance: Uuid,
    /// `PARLOUR_PRESENCE_INTERVAL`.
    pub presence_interval: Duration,
    /// `PARLOUR_PRESENCE_GRACE`.
    pub presence_grace: Duration,
    /// `PARLOUR_PRESENCE_LIST`.
    pub presence_list: usize,
    /// `PARLOUR_LEASE`.
    pub lease: Duration,
    /// `PARLOUR_STREAM_KEEPALIVE`.
    pub keepalive: Duration,
    /// `PARLOUR_STREAM_MAX_AGE`.
    pub max_age: Duration,
    /// `PARLOUR_STREAM_REPLAY`.
    pub replay: u64,
}

/// The in-memory part of an instance. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    pub(super) inner: Arc<Inner>,
}

/// None of the locks is held while something is awaited.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) bus: Bus,
    /// Notified when hints were lost: the next comparison with the database is due at once.
    pub(super) hints_lost: Notify,
    pub(super) clock: Clock,
    pub(super) settings: HubSettings,
    pub(super) pages: PageCache,
    pub(super) reported: ReportedActivity,
    pub(super) topics: Mutex<HashMap<TopicKey, Arc<ActiveTopic>>>,
    streams: Mutex<OpenStreams>,
    closed: Mutex<Vec<ClosedStream>>,
    /// Notified when a stream was added to `closed`.
    pub(super) stream_closed: Notify,
    /// The end of this instance's lease, in the database's milliseconds.
    pub(super) lease_until: AtomicI64,
    /// The time until which this instance does not judge the leases of others, in the database's milliseconds.
    pub(super) trust_until: AtomicI64,
}

/// Most sessions and users have one stream; one signal needs no memory outside.
type Signals = SmallVec<[Arc<StreamSignal>; 1]>;

#[derive(Debug, Default)]
struct OpenStreams {
    /// A session has one stream, and for a moment two, while one replaces the other.
    by_session: HashMap<SessionId, Signals>,
    by_user: HashMap<UserId, Signals>,
    /// True when the instance stops: a stream that opens then ends at once.
    draining: bool,
}

/// A stream that has ended here; the database has to record it.
#[derive(Debug)]
pub(super) struct ClosedStream {
    pub(super) session: SessionId,
    pub(super) stream: StreamId,
}

impl Hub {
    /// A hub without topics and streams; [`Hub::run`] does its regular work.
    pub(crate) fn new(store: Store, bus: Bus, clock: Clock, settings: HubSettings) -> Self {
        let inner = Inner {
            store,
            bus,
            hints_lost: Notify::new(),
            clock,
            settings,
            pages: PageCache::default(),
            reported: ReportedActivity::default(),
            topics: Mutex::default(),
            streams: Mutex::default(),
            closed: Mutex::default(),
            stream_closed: Notify::new(),
            lease_until: AtomicI64::new(0),
            trust_until: AtomicI64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Ends every open stream, and every stream that opens later: the instance stops.
    pub(crate) fn drain(&self) {
        let mut streams = self.inner.streams.lock();
        streams.draining = true;
        streams.by_session.values().flatten().for_each(|signal| signal.end(End::Shutdown));
    }

    /// The number of streams that are open here.
    pub(crate) fn streams(&self) -> usize {
        self.inner.streams.lock().by_session.values().map(SmallVec::len).sum()
    }

    /// Returns true if hints pass between this instance and others, or if there are no others.
    pub(crate) fn bus_healthy(&self) -> bool {
        self.inner.bus.healthy()
    }

    /// The grace period of presence.
    pub(crate) fn grace(&self) -> Duration {
        self.inner.settings.presence_grace
    }

    /// The tag that ties event ids to a session.
    pub(crate) fn tag(&self, session: SessionId) -> IdTag {
        IdTag::new(self.inner.settings.epoch, session)
    }

    /// Returns true if every change of the database is reported to this instance, because no other one uses it.
    pub(super) fn is_alone(&self) -> bool {
        !self.inner.store.is_shared()
    }

    /// Returns who is present on a topic, for a response: from memory where the view there is current.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) async fn present(&self, key: TopicKey) -> Result<Arc<PresenceView>, StoreError> {
        let HubSettings { presence_list, presence_grace, presence_interval, instance, .. } = self.inner.settings;
        let Some(topic) = self.active_topic(key) else {
            let present = self.inner.store.present(key, presence_list, presence_grace, instance).await?;
            return Ok(Arc::new(PresenceView::new(0, present)));
        };
        let current = if self.is_alone() { topic.presence.current(self.inner.store.now()) } else { None };
        match current.or_else(|| topic.presence.recent_truncated(presence_interval)) {
            Some(view) => Ok(view),
            // The refresh also serves the streams here, the caller's first.
            None => self.refresh_presence(&topic).await,
        }
    }

    /// Returns who is present on an active topic, no older than this call.
    pub(super) async fn refresh_presence(&self, topic: &ActiveTopic) -> Result<Arc<PresenceView>, StoreError> {
        let HubSettings { presence_list, presence_grace, instance, .. } = self.inner.settings;
        let read = async || self.inner.store.present(topic.key, presence_list, presence_grace, instance).await;
        topic.presence.refresh(read).await
    }

    /// Registers the signal of a stream, before its session is read: changes from then on notify the stream.
    pub(super) fn register(&self, session: SessionId, user: &UserId) -> Arc<StreamSignal> {
        self.inner.bus.listen(Interest::Session(session));
        self.inner.bus.listen(Interest::User(user.clone()));
        let signal = Arc::new(StreamSignal::new(self.inner.store.now()));
        let mut streams = self.inner.streams.lock();
        if streams.draining {
            signal.end(End::Shutdown);
        }
        streams.by_session.entry(session).or_default().push(signal.clone());
        streams.by_user.entry(user.clone()).or_default().push(signal.clone());
        signal
    }

    /// Removes the signal of a stream.
    pub(super) fn unregister(&self, session: SessionId, user: &UserId, signal: &Arc<StreamSignal>) {
        self.inner.bus.unlisten(&Interest::Session(session));
        self.inner.bus.unlisten(&Interest::User(user.clone()));
        let mut streams = self.inner.streams.lock();
        remove(&mut streams.by_session, &session, signal);
        remove(&mut streams.by_user, user, signal);
    }

    /// The signals of a user's streams.
    pub(super) fn signals_of(&self, user: &UserId) -> Signals {
        self.inner.streams.lock().by_user.get(user).cloned().unwrap_or_default()
    }

    /// The users who have a stream here.
    pub(super) fn users(&self) -> Vec<UserId> {
        self.inner.streams.lock().by_user.keys().cloned().collect()
    }

    /// The open streams with their sessions.
    pub(super) fn open_streams(&self) -> Vec<(SessionId, Arc<StreamSignal>)> {
        let streams = self.inner.streams.lock();
        let signals =
            streams.by_session.iter().flat_map(|(id, signals)| signals.iter().map(|signal| (*id, signal.clone())));
        signals.collect()
    }

    /// Calls `notify` with the signal of each stream of a session.
    pub(super) fn for_each_stream(&self, session: SessionId, notify: impl Fn(&StreamSignal)) {
        self.inner.streams.lock().by_session.get(&session).into_iter().flatten().for_each(|signal| notify(signal));
    }

    /// Adds a stream that has ended; the task that records such streams is notified.
    pub(super) fn add_closed(&self, closed: ClosedStream) {
        self.inner.closed.lock().push(closed);
        self.inner.stream_closed.notify_one();
    }

    pub(super) fn take_closed(&self) -> Vec<ClosedStream> {
        std::mem::take(&mut self.inner.closed.lock())
    }

    pub(super) fn put_back_closed(&self, closed: Vec<ClosedStream>) {
        self.inner.closed.lock().extend(closed);
    }

    /// Returns the active topic; makes the topic active where it is not.
    pub(super) fn activate(&self, key: TopicKey, id: &TopicId) -> Arc<ActiveTopic> {
        let activated = || {
            self.inner.bus.listen(Interest::Topic(key));
            Arc::new(ActiveTopic::new(key, id.clone()))
        };
        self.inner.topics.lock().entry(key).or_insert_with(activated).clone()
    }

    pub(super) fn active_topic(&self, key: TopicKey) -> Option<Arc<ActiveTopic>> {
        self.inner.topics.lock().get(&key).cloned()
    }

    pub(super) fn active_topics(&self) -> Vec<Arc<ActiveTopic>> {
        self.inner.topics.lock().values().cloned().collect()
    }
}

fn remove<K: Eq + Hash>(streams: &mut HashMap<K, Signals>, key: &K, signal: &Arc<StreamSignal>) {
    if let Some(signals) = streams.get_mut(key) {
        signals.retain(|other| !Arc::ptr_eq(other, signal));
        if signals.is_empty() {
            streams.remove(key);
        }
    }
}
