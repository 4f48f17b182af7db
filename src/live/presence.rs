//! Who is present on a topic, as its listeners have been told: a difference is the new list less the last one.
//!
//! A view is read from the database when something may have changed, and shared by every stream that shows it. Views
//! are *published* once an interval, and only then become differences; a stream that needs the whole list gets the
//! freshest view in between.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::events::{PresenceChange, PresenceState};
use crate::model::event_id::Digest;
use crate::model::message::to_json;
use crate::model::{Millis, Presence, SessionId, TopicId};
use crate::store::Present;

/// Who was present at one moment.
#[derive(Debug)]
pub(super) struct View {
    /// Counts up within the topic.
    version: u64,
    /// In the order of session ids; the first ones only where `truncated`.
    list: Vec<Presence>,
    count: usize,
    truncated: bool,
    state: OnceLock<Bytes>,
}

/// What a stream that has shown one view sends to show the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Nothing changed.
    Nothing,
    /// `presence`, with this data.
    Changes(Bytes),
    /// `presence_state`: the list starts afresh.
    Afresh,
}

/// A topic's views on this instance.
#[derive(Debug, Default)]
pub(super) struct Track {
    state: Mutex<State>,
    /// Something may have changed since the last look.
    dirty: AtomicBool,
    /// One look at a time; whoever comes meanwhile shares the next one.
    looking: tokio::sync::Mutex<()>,
    /// Counts looks as they begin.
    looks: AtomicU64,
    /// The end of an interval is being looked at.
    publishing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    fresh: Option<Arc<View>>,
    published: Option<Published>,
    next_expiry: Option<Millis>,
    /// The number of the look that `fresh` is of.
    seen: u64,
    /// When that began.
    seen_at: Option<Instant>,
}

/// The view of an interval, and the difference to it from the interval before, rendered once for all.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) view: Arc<View>,
    before: Option<(u64, Difference)>,
}

impl Published {
    /// What takes a stream that has shown `last` to this view.
    pub(super) fn since(&self, last: &View, topic: &TopicId) -> Difference {
        match &self.before {
            _ if last.version >= self.view.version => Difference::Nothing,
            Some((version, difference)) if *version == last.version => difference.clone(),
            _ => last.difference(&self.view, topic),
        }
    }
}

impl View {
    fn new(version: u64, present: Present) -> Self {
        let truncated = present.count > present.list.len();
        Self { version, list: present.list, count: present.count, truncated, state: OnceLock::new() }
    }

    fn same(&self, present: &Present) -> bool {
        self.count == present.count && self.list == present.list
    }

    /// The data of `presence_state`.
    pub(super) fn state(&self, topic: &TopicId) -> Bytes {
        let render = || {
            let Self { list, count, truncated, .. } = self;
            to_json(&PresenceState { topic, presences: list, presence_count: *count, truncated: *truncated })
        };
        self.state.get_or_init(render).clone()
    }

    /// Who was present, as an answer has it.
    pub(super) fn present(&self) -> Present {
        Present { list: self.list.clone(), count: self.count, next_expiry: None }
    }

    /// Whether `self` was read after `other`.
    pub(super) fn is_newer(&self, other: &Self) -> bool {
        self.version > other.version
    }

    /// Whether the session is in the list.
    pub(super) fn shows(&self, session: SessionId) -> bool {
        self.list.binary_search_by_key(&session, |presence| presence.session_id).is_ok()
    }

    /// Tells views apart for a long poll, which comes back later, perhaps to another instance: it depends on what is
    /// shown and on nothing else.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = DefaultHasher::new();
        self.count.hash(&mut hasher);
        if !self.truncated {
            for presence in &self.list {
                (presence.session_id, presence.online_since, &presence.username).hash(&mut hasher);
            }
        }
        Digest(u32::try_from(hasher.finish() >> 40).unwrap_or_default())
    }

    fn difference(&self, next: &Self, topic: &TopicId) -> Difference {
        if self.truncated && !next.truncated {
            return Difference::Afresh;
        }
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        if !next.truncated {
            // Both lists are in the order of session ids. A presence that changed joins once more, under its session.
            let has = |list: &[Presence], session| list.binary_search_by_key(&session, |p: &Presence| p.session_id);
            joins.extend(
                next.list.iter().filter(|p| has(&self.list, p.session_id).map_or(true, |i| self.list[i] != **p)),
            );
            leaves.extend(self.list.iter().filter(|p| has(&next.list, p.session_id).is_err()));
        }
        if joins.is_empty() && leaves.is_empty() && self.count == next.count && self.truncated == next.truncated {
            return Difference::Nothing;
        }
        let (presence_count, truncated) = (next.count, next.truncated);
        Difference::Changes(to_json(&PresenceChange {
            topic,
            joins: &joins,
            leaves: &leaves,
            presence_count,
            truncated,
        }))
    }
}

impl Track {
    /// Something may have changed: look when the interval ends.
    pub(super) fn touch(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether the end of an interval has something to look at, and nobody looks already; forgets that it had. Then
    /// somebody does, until [`Self::end`].
    pub(super) fn begin(&self, now: Millis) -> bool {
        if self.publishing.load(Ordering::Acquire) {
            return false;
        }
        let dirty = self.dirty.swap(false, Ordering::AcqRel);
        let state = self.lock();
        let behind = match (&state.fresh, &state.published) {
            (Some(fresh), Some(published)) => fresh.version != published.view.version,
            (fresh, _) => fresh.is_some(),
        };
        // A topic whose presence nobody has asked for has nothing to compare with.
        let due = state.fresh.is_some() && (dirty || behind || state.next_expiry.is_some_and(|at| at <= now));
        self.publishing.store(due, Ordering::Release);
        due
    }

    /// The look that began with [`Self::begin`] has ended.
    pub(super) fn end(&self) {
        self.publishing.store(false, Ordering::Release);
    }

    /// The freshest view there is.
    pub(super) fn latest(&self) -> Option<Arc<View>> {
        self.lock().fresh.clone()
    }

    /// The view of a crowd that is no older than this. Of a crowd only the first are listed, and the number of the rest
    /// is told once an interval: who comes to it need not have it counted anew, or each of many would count all.
    pub(super) fn crowd(&self, age: Duration) -> Option<Arc<View>> {
        let state = self.lock();
        let recent = state.seen_at.is_some_and(|at| at.elapsed() < age);
        state.fresh.clone().filter(|view| recent && view.truncated)
    }

    /// A view no older than this call. `read` asks the database.
    pub(super) async fn look<E>(&self, read: impl AsyncFnOnce() -> Result<Present, E>) -> Result<Arc<View>, E> {
        let before = self.looks.load(Ordering::Acquire);
        let _alone = self.looking.lock().await;
        // A look that began after this call, and did not fail, is as good as one of our own.
        if let Some(view) = self.seen_after(before) {
            return Ok(view);
        }
        let (number, began) = (self.looks.fetch_add(1, Ordering::AcqRel) + 1, Instant::now());
        let present = read().await?;
        Ok(self.renew(number, began, present))
    }

    fn seen_after(&self, look: u64) -> Option<Arc<View>> {
        let state = self.lock();
        state.fresh.clone().filter(|_| state.seen > look)
    }

    fn renew(&self, look: u64, began: Instant, present: Present) -> Arc<View> {
        let mut state = self.lock();
        (state.seen, state.seen_at) = (look, Some(began));
        state.next_expiry = present.next_expiry;
        match &state.fresh {
            Some(view) if view.same(&present) => view.clone(),
            old => {
                let view = Arc::new(View::new(old.as_ref().map_or(1, |view| view.version + 1), present));
                state.fresh = Some(view.clone());
                view
            }
        }
    }

    /// The interval has ended: the freshest view becomes what differences lead to. Answers whether it is a new one.
    pub(super) fn publish(&self, topic: &TopicId) -> bool {
        let mut state = self.lock();
        let Some(fresh) = state.fresh.clone() else { return false };
        let before = match &state.published {
            Some(old) if old.view.version == fresh.version => return false,
            Some(old) => Some((old.view.version, old.view.difference(&fresh, topic))),
            None => None,
        };
        state.published = Some(Published { view: fresh, before });
        true
    }

    /// The view of the last interval.
    pub(super) fn published(&self) -> Option<Published> {
        self.lock().published.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::model::UserId;

    fn present(sessions: &BTreeMap<u8, i64>, limit: usize) -> Present {
        let presence = |(&session, &since): (&u8, &i64)| Presence {
            user_id: UserId::parse("ana").expect("an id"),
            username: "Ana".into(),
            session_id: SessionId(Uuid::from_u128(u128::from(session))),
            online_since: Millis(since),
        };
        let list = sessions.iter().take(limit).map(presence).collect();
        Present { list, count: sessions.len(), next_expiry: None }
    }

    /// What a client knows: sessions by id.
    fn apply(client: &mut BTreeMap<String, Value>, data: &Bytes) {
        let data: Value = serde_json::from_slice(data).expect("JSON");
        let id = |p: &Value| p["session_id"].as_str().expect("an id").to_owned();
        let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
        if data.get("presences").is_some() {
            client.clear();
        }
        client.extend(list("presences").iter().chain(&list("joins")).map(|p| (id(p), p.clone())));
        list("leaves").iter().for_each(|p| drop(client.remove(&id(p))));
    }

    proptest! {
        /// Whatever happens between the looks, and whichever intervals a stream slept through, its differences add up
        /// to the list.
        #[test]
        fn differences_add_up(
            steps in proptest::collection::vec((proptest::collection::btree_map(0u8..12, 0i64..3, 0..10), any::<bool>()), 1..20)
        ) {
            const LIMIT: usize = 6;
            let topic = TopicId::stored("room:a");
            let track = Track::default();
            let mut shown: Option<Arc<View>> = None;
            let mut client = BTreeMap::new();
            for (sessions, awake) in steps {
                let view = track.renew(0, Instant::now(), present(&sessions, LIMIT));
                track.publish(&topic);
                let published = track.published().expect("published");
                match &shown {
                    _ if !awake => continue,
                    None => apply(&mut client, &view.state(&topic)),
                    Some(last) => match published.since(last, &topic) {
                        Difference::Nothing => {}
                        Difference::Changes(data) => apply(&mut client, &data),
                        Difference::Afresh => apply(&mut client, &published.view.state(&topic)),
                    },
                }
                shown = Some(published.view.clone());
                if sessions.len() <= LIMIT {
                    let mut whole = BTreeMap::new();
                    apply(&mut whole, &view.state(&topic));
                    prop_assert_eq!(&client, &whole);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_look_is_never_older_than_its_call() {
        let track = Track::default();
        let (first, second) = (BTreeMap::from([(1, 0)]), BTreeMap::from([(1, 0), (2, 0)]));
        let look = async |sessions: &BTreeMap<u8, i64>| track.look(async || Ok::<_, ()>(present(sessions, 6))).await;
        assert_eq!(look(&first).await.map(|view| view.count), Ok(1));
        let running = track.looking.lock().await;
        let mut late = Box::pin(look(&second));
        let mut failing = Box::pin(track.look(async || Err::<Present, _>(())));
        assert!(futures_util::poll!(&mut failing).is_pending() && futures_util::poll!(&mut late).is_pending());
        drop(running);
        // One that fails is shared with nobody.
        assert!(failing.await.is_err());
        assert_eq!(late.await.map(|view| view.count), Ok(2));
    }

    #[test]
    fn nothing_changed_is_nothing() {
        let topic = TopicId::stored("room:a");
        let track = Track::default();
        let sessions = BTreeMap::from([(1, 0), (2, 0)]);
        let first = track.renew(0, Instant::now(), present(&sessions, 6));
        assert!(track.publish(&topic));
        assert!(Arc::ptr_eq(&first, &track.renew(0, Instant::now(), present(&sessions, 6))));
        assert!(!track.publish(&topic));
    }
}
