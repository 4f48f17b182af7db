//! One view: who was present at one moment, and what leads from one to another.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

use crate::live::events::{PresenceChange, PresenceState};
use crate::live::hub::lock;
use crate::model::event_id::PresenceDigest;
use crate::model::message::to_json;
use crate::model::{Presence, SessionId, TopicId};
use crate::store::Present;

/// Who was present at one moment.
#[derive(Debug)]
pub struct PresenceView {
    /// Counts up within the topic.
    version: u64,
    list: Arc<List>,
    count: usize,
    truncated: bool,
}

/// Those whom a view names: in the order of session ids; of a crowd, the first.
#[derive(Debug, Default)]
struct List {
    presences: Vec<Arc<Presence>>,
    json: Mutex<Json>,
}

/// A list as JSON, which takes far more memory than the list. It is kept for as long as others are likely to ask.
#[derive(Debug, Default)]
enum Json {
    #[default]
    Unwritten,
    Written(Arc<RawValue>),
    /// Another list has taken its place: streams that show this one keep it, and do not show it again.
    Superseded,
}

impl List {
    fn new(presences: Vec<Arc<Presence>>) -> Arc<Self> {
        Arc::new(Self { presences, json: Mutex::default() })
    }

    fn json(&self) -> Arc<RawValue> {
        let mut json = lock(&self.json);
        if let Json::Written(written) = &*json {
            return written.clone();
        }
        let list: Vec<&Presence> = self.iter().map(Arc::as_ref).collect();
        let written: Arc<RawValue> = to_raw_value(&list).unwrap_or_default().into();
        if let Json::Unwritten = *json {
            *json = Json::Written(written.clone());
        }
        written
    }
}

impl Deref for List {
    type Target = [Arc<Presence>];

    fn deref(&self) -> &Self::Target {
        &self.presences
    }
}

/// What a stream that has shown one view sends to show the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) enum Difference {
    /// Nothing changed.
    Nothing,
    /// `presence`, with this data.
    Changes(Bytes),
    /// `presence_state`: the list starts afresh.
    Afresh,
}

impl PresenceView {
    pub(in crate::live) fn new(version: u64, present: Present) -> Self {
        let truncated = present.count > present.list.len();
        let presences = present.list.into_iter().map(Arc::new).collect();
        Self { version, list: List::new(presences), count: present.count, truncated }
    }

    /// Which of its topic's.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn same(&self, present: &Present) -> bool {
        self.count == present.count && self.list.iter().map(Arc::as_ref).eq(&present.list)
    }

    /// The next view, with one more; of a crowd, the first `limit` are named.
    pub(super) fn with(&self, newcomer: &Presence, limit: usize) -> Self {
        let (version, mut list, mut count) = (self.version + 1, self.list.clone(), self.count);
        match self.place(newcomer.session_id) {
            Ok(at) => list = self.edited(|list| list[at] = Arc::new(newcomer.clone())),
            Err(at) => {
                count += 1;
                if at < limit {
                    list = self.edited(|list| {
                        list.insert(at, Arc::new(newcomer.clone()));
                        list.truncate(limit);
                    });
                }
            }
        }
        let truncated = count > list.len();
        Self { version, list, count, truncated }
    }

    fn edited(&self, edit: impl FnOnce(&mut Vec<Arc<Presence>>)) -> Arc<List> {
        let mut presences = self.list.presences.clone();
        edit(&mut presences);
        List::new(presences)
    }

    /// Who is listed, as JSON; written once for all who ask while it is the latest.
    pub fn list_json(&self) -> Arc<RawValue> {
        self.list.json()
    }

    /// Another view is the latest from here on.
    pub(super) fn give_way(&self, next: &Self) {
        if !Arc::ptr_eq(&self.list, &next.list) {
            *lock(&self.list.json) = Json::Superseded;
        }
    }

    /// Lets go of what was written for many to share: nobody is likely to ask soon.
    pub(super) fn rest(&self) {
        *lock(&self.list.json) = Json::Unwritten;
    }

    /// How many are present.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there are more than are listed.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The data of `presence_state`.
    pub(in crate::live) fn state(&self, topic: &TopicId) -> Bytes {
        let (presence_count, truncated) = (self.count, self.truncated);
        to_json(&PresenceState { topic, presences: &self.list_json(), presence_count, truncated })
    }

    /// Whether `self` was read after `other`.
    pub(in crate::live) fn is_newer(&self, other: &Self) -> bool {
        self.version > other.version
    }

    /// Whether the session is in the list.
    pub(in crate::live) fn shows(&self, session: SessionId) -> bool {
        self.place(session).is_ok()
    }

    /// Where a session is in the list, or else belongs.
    fn place(&self, session: SessionId) -> Result<usize, usize> {
        self.list.binary_search_by_key(&session, |presence| presence.session_id)
    }

    /// Tells views apart for a long poll, which comes back later, perhaps to another instance: it depends on what is
    /// shown and on nothing else.
    pub(in crate::live) fn digest(&self) -> PresenceDigest {
        let mut hasher = DefaultHasher::new();
        self.count.hash(&mut hasher);
        if !self.truncated {
            for presence in self.list.iter() {
                (presence.session_id, presence.online_since, &presence.username).hash(&mut hasher);
            }
        }
        PresenceDigest(u32::try_from(hasher.finish() >> 40).unwrap_or_default())
    }

    pub(super) fn difference(&self, next: &Self, topic: &TopicId) -> Difference {
        if self.truncated && !next.truncated {
            return Difference::Afresh;
        }
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        if !next.truncated {
            // Both lists are in the order of session ids. A presence that changed joins once more, under its session.
            let known = |p: &&Presence| self.place(p.session_id).is_ok_and(|at| *self.list[at] == **p);
            joins.extend(next.list.iter().map(Arc::as_ref).filter(|p| !known(p)));
            leaves.extend(self.list.iter().map(Arc::as_ref).filter(|p| next.place(p.session_id).is_err()));
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
