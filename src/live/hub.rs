//! The hub: finds a topic's listeners and a session's streams on this instance.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::Notify;
use uuid::Uuid;

use super::activity::Told;
use super::pages::Pages;
use super::presence::PresenceView;
use super::signal::{End, Wake};
use super::topic::HotTopic;
use crate::bus::{Bus, Hint, Interest};
use crate::model::event_id::IdTag;
use crate::model::{Clock, Millis, Presence, Seq, SessionId, StreamId, TopicId, UserId};
use crate::store::{Store, StoreError, TopicKey};

/// What streams and presence go by; see the settings of the same names.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The database's epoch: ids of another database count as none.
    pub epoch: u32,
    /// This instance.
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

/// Everything live on this instance. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) bus: Bus,
    /// Hints were lost: the comparison with the database is due.
    pub(super) compare: Notify,
    pub(super) clock: Clock,
    pub(super) settings: HubSettings,
    pub(super) pages: Pages,
    pub(super) told: Told,
    pub(super) topics: Mutex<HashMap<TopicKey, Arc<HotTopic>>>,
    sessions: Mutex<Sessions>,
    closed: Mutex<Vec<Closed>>,
    pub(super) closing: Notify,
    /// Until when this instance counts as alive, in the database's milliseconds.
    pub(super) lease_until: AtomicI64,
    /// Until when it does not judge who else is alive.
    pub(super) lenient_until: AtomicI64,
}

/// Most have one, which then needs no memory of its own.
type Wakes = SmallVec<[Arc<Wake>; 1]>;

#[derive(Debug, Default)]
struct Sessions {
    /// A session has one stream, and for a moment two, while one replaces the other.
    wakes: HashMap<SessionId, Wakes>,
    /// The same streams by their users.
    users: HashMap<UserId, Wakes>,
    /// The instance stops: what opens from here on ends at once.
    draining: bool,
}

/// A stream that has ended here, to be written down.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) session: SessionId,
    pub(super) stream: StreamId,
}

impl Hub {
    /// A hub without topics; [`Hub::run`] does its regular work.
    pub fn new(store: Store, bus: Bus, clock: Clock, settings: HubSettings) -> Self {
        let inner = Inner {
            store,
            bus,
            compare: Notify::new(),
            clock,
            settings,
            pages: Pages::default(),
            told: Told::default(),
            topics: Mutex::default(),
            sessions: Mutex::default(),
            closed: Mutex::default(),
            closing: Notify::new(),
            lease_until: AtomicI64::new(0),
            lenient_until: AtomicI64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The streams of a user.
    pub(super) fn wakes_of(&self, user: &UserId) -> Wakes {
        lock(&self.inner.sessions).users.get(user).cloned().unwrap_or_default()
    }

    /// Everyone who has a stream here.
    pub(super) fn users(&self) -> Vec<UserId> {
        lock(&self.inner.sessions).users.keys().cloned().collect()
    }

    /// Ends every stream, and every one that opens from here on: the instance stops.
    pub fn drain(&self) {
        let mut sessions = lock(&self.inner.sessions);
        sessions.draining = true;
        sessions.wakes.values().flatten().for_each(|wake| wake.end(End::Shutdown));
    }

    /// How many streams are open here.
    pub fn streams(&self) -> usize {
        lock(&self.inner.sessions).wakes.values().map(SmallVec::len).sum()
    }

    /// Whether hints come through from and to other instances, where there may be any.
    pub fn bus_healthy(&self) -> bool {
        self.inner.bus.healthy()
    }

    /// The presence grace period.
    pub fn grace(&self) -> Duration {
        self.inner.settings.presence_grace
    }

    /// Who is present on a topic, for an answer; streams have views, and where one at hand serves, that does.
    pub async fn present(&self, key: TopicKey) -> Result<Arc<PresenceView>, StoreError> {
        let HubSettings { presence_list, presence_grace, presence_interval, instance, .. } = self.inner.settings;
        let Some(topic) = self.hot(key) else {
            let present = self.inner.store.present(key, presence_list, presence_grace, instance).await?;
            return Ok(Arc::new(PresenceView::new(0, present)));
        };
        let at_hand = if self.is_alone() { topic.presence.current(self.inner.store.now()) } else { None };
        match at_hand.or_else(|| topic.presence.crowd(presence_interval)) {
            Some(view) => Ok(view),
            // A look of its own serves the streams here as well, the caller's first.
            None => self.look(&topic).await,
        }
    }

    /// A session has joined a topic, in a change that began at `since`, and is shown there until `until` at least.
    pub fn came(&self, key: TopicKey, newcomer: &Presence, until: Millis, since: Instant) {
        let (now, limit) = (self.inner.store.now(), self.inner.settings.presence_list);
        let add = |topic: Arc<HotTopic>| topic.presence.add(newcomer, until, since, now, limit);
        if !self.is_alone() || !self.hot(key).is_some_and(add) {
            self.presence_changed(&[key]);
        }
    }

    /// Whether whatever changes in the database is told here.
    fn is_alone(&self) -> bool {
        !self.inner.store.is_shared()
    }

    /// How event ids are tied to a session.
    pub fn tag(&self, session: SessionId) -> IdTag {
        IdTag::new(self.inner.settings.epoch, session)
    }

    /// A bell for a stream of this session, hung up before the session is read: what changes meanwhile rings it.
    pub(super) fn register(&self, session: SessionId, user: &UserId) -> Arc<Wake> {
        self.inner.bus.listen(Interest::Session(session));
        self.inner.bus.listen(Interest::User(user.clone()));
        let wake = Arc::new(Wake::new(self.inner.store.now()));
        let mut sessions = lock(&self.inner.sessions);
        if sessions.draining {
            wake.end(End::Shutdown);
        }
        sessions.wakes.entry(session).or_default().push(wake.clone());
        sessions.users.entry(user.clone()).or_default().push(wake.clone());
        wake
    }

    /// The stream has this id now: older ones of its session are replaced, and it is, where there is a newer.
    pub(super) fn opened(&self, session: SessionId, wake: &Wake, stream: StreamId) {
        wake.set_stream_id(stream);
        self.tell(Hint::Opened { session, stream });
    }

    /// Takes a stream's bell down.
    pub(super) fn unregister(&self, session: SessionId, user: &UserId, wake: &Arc<Wake>) {
        self.inner.bus.unlisten(&Interest::Session(session));
        self.inner.bus.unlisten(&Interest::User(user.clone()));
        let mut sessions = lock(&self.inner.sessions);
        take_down(&mut sessions.wakes, &session, wake);
        take_down(&mut sessions.users, user, wake);
    }

    /// Notes that a stream has ended, for the next round of writing it down.
    pub(super) fn closed(&self, closed: Closed) {
        lock(&self.inner.closed).push(closed);
        self.inner.closing.notify_one();
    }

    pub(super) fn take_closed(&self) -> Vec<Closed> {
        std::mem::take(&mut lock(&self.inner.closed))
    }

    pub(super) fn put_back_closed(&self, closed: Vec<Closed>) {
        lock(&self.inner.closed).extend(closed);
    }

    /// The streams here, by session.
    pub(super) fn open_streams(&self) -> Vec<(SessionId, Arc<Wake>)> {
        let sessions = lock(&self.inner.sessions);
        sessions.wakes.iter().flat_map(|(id, wakes)| wakes.iter().map(|wake| (*id, wake.clone()))).collect()
    }

    /// The topic's live state, made where there is none.
    pub(super) fn heat(&self, key: TopicKey, id: &TopicId) -> Arc<HotTopic> {
        let mut topics = lock(&self.inner.topics);
        let heated = || {
            self.inner.bus.listen(Interest::Topic(key));
            Arc::new(HotTopic::new(key, id.clone()))
        };
        topics.entry(key).or_insert_with(heated).clone()
    }

    /// Reads the ends of topics that have just become hot: their listeners are registered, and other instances are heard,
    /// so that nothing falls in between.
    pub(super) async fn sync(&self, topics: &[Arc<HotTopic>]) -> Result<(), StoreError> {
        let cold: Vec<_> = topics.iter().filter(|topic| !topic.synced()).map(|topic| topic.key).collect();
        if !cold.is_empty() {
            self.inner.bus.settled().await;
        }
        self.read_ends(&cold).await
    }

    /// Before a stream begins on topics that have come this far: whoever comes after a removal never sees what was removed,
    /// so what another instance has removed, and nobody told here yet, is in no memory of this one afterwards. A `poll`
    /// answers with everything that was acknowledged before it; a stream soon hears of what is only late.
    pub(super) async fn keep_up(&self, topics: &[(Arc<HotTopic>, Seq)], poll: bool) -> Result<(), StoreError> {
        if self.is_alone() {
            return Ok(()); // what is committed has been told
        }
        for (topic, last) in topics {
            let news = match topic.known() {
                Some(known) if known >= *last => false,
                Some(_) if poll => topic.heard(*last),
                Some(known) => self.inner.store.has_removal(topic.key, known, *last).await? && topic.heard(*last),
                None => true, // pages may be left from when it was hot before
            };
            if news {
                self.inner.pages.forget(topic.key);
            }
        }
        Ok(())
    }

    /// Learns how far these topics have come, whatever no hint said.
    pub(super) async fn read_ends(&self, topics: &[TopicKey]) -> Result<(), StoreError> {
        for chunk in topics.chunks(500) {
            for (key, last) in self.inner.store.last_seqs(chunk).await? {
                if let Some(topic) = self.hot(key) {
                    topic.reached(last);
                }
            }
        }
        Ok(())
    }

    /// Who is present on a topic, no older than this call.
    pub(super) async fn look(&self, topic: &HotTopic) -> Result<Arc<PresenceView>, StoreError> {
        let HubSettings { presence_list, presence_grace, instance, .. } = self.inner.settings;
        let read = async || self.inner.store.present(topic.key, presence_list, presence_grace, instance).await;
        topic.presence.look(read).await
    }

    pub(super) fn hot(&self, key: TopicKey) -> Option<Arc<HotTopic>> {
        lock(&self.inner.topics).get(&key).cloned()
    }

    pub(super) fn each_wake(&self, session: SessionId, tell: impl Fn(&Wake)) {
        lock(&self.inner.sessions).wakes.get(&session).into_iter().flatten().for_each(|wake| tell(wake));
    }
}

fn take_down<K: Eq + Hash>(wakes: &mut HashMap<K, Wakes>, key: &K, wake: &Arc<Wake>) {
    if let Some(of_key) = wakes.get_mut(key) {
        of_key.retain(|other| !Arc::ptr_eq(other, wake));
        if of_key.is_empty() {
            wakes.remove(key);
        }
    }
}

/// No lock in here is held while something is awaited, and none is left in a broken state by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
