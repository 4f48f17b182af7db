//! A presence view: the sessions that are online on a topic at one moment, and the difference from one view to another.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::value::{RawValue, to_raw_value};

use crate::live::events::{PresenceChange, PresenceState};
use crate::model::event_id::PresenceDigest;
use crate::model::message::to_json;
use crate::model::{Presence, SessionId, TopicId};
use crate::store::Present;

/// The sessions that are online on a topic at one moment.
#[derive(Debug)]
pub(crate) struct PresenceView {
    /// Grows with each view of the topic.
    version: u64,
    list: Arc<List>,
    count: usize,
    truncated: bool,
}

/// The sessions that a view lists, in the order of their ids; of too many, the first.
#[derive(Debug, Default)]
struct List {
    presences: Vec<Arc<Presence>>,
    json: Mutex<Json>,
}

/// A list as JSON, which takes far more memory than the list. It is kept while further streams are likely to need it.
#[derive(Debug, Default)]
enum Json {
    #[default]
    Unwritten,
    Written(Arc<RawValue>),
    /// A later list has replaced this one. Streams that have shown this list keep it, and do not show it again.
    Superseded,
}

impl List {
    fn new(presences: Vec<Arc<Presence>>) -> Arc<Self> {
        Arc::new(Self { presences, json: Mutex::default() })
    }

    fn json(&self) -> Arc<RawValue> {
        let mut json = self.json.lock();
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

/// The event that leads a stream from the view that it has shown to a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) enum Difference {
    /// Nothing: the views are equal.
    Nothing,
    /// `presence`, with this data.
    Changes(Bytes),
    /// `presence_state`, the whole list.
    WholeList,
}

impl PresenceView {
    pub(in crate::live) fn new(version: u64, present: Present) -> Self {
        let truncated = present.count > present.list.len();
        let presences = present.list.into_iter().map(Arc::new).collect();
        Self { version, list: List::new(presences), count: present.count, truncated }
    }

    /// The number of the view among its topic's.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn equals(&self, present: &Present) -> bool {
        self.count == present.count && self.list.iter().map(Arc::as_ref).eq(&present.list)
    }

    /// The next view, with one more session. At most `limit` sessions are listed.
    pub(super) fn with(&self, session: &Presence, limit: usize) -> Self {
        let mut list = self.list.clone();
        let mut count = self.count;
        match self.find(session.session_id) {
            Ok(at) => list = self.edited(|list| list[at] = Arc::new(session.clone())),
            Err(at) => {
                count += 1;
                if at < limit {
                    list = self.edited(|list| {
                        list.insert(at, Arc::new(session.clone()));
                        list.truncate(limit);
                    });
                }
            }
        }
        let truncated = count > list.len();
        Self { version: self.version + 1, list, count, truncated }
    }

    fn edited(&self, edit: impl FnOnce(&mut Vec<Arc<Presence>>)) -> Arc<List> {
        let mut presences = self.list.presences.clone();
        edit(&mut presences);
        List::new(presences)
    }

    /// The listed sessions as JSON; written once for all callers while the list is the latest.
    pub(crate) fn list_json(&self) -> Arc<RawValue> {
        self.list.json()
    }

    /// Frees the JSON, because `next` is the latest view from here on.
    pub(super) fn supersede_by(&self, next: &Self) {
        if !Arc::ptr_eq(&self.list, &next.list) {
            *self.list.json.lock() = Json::Superseded;
        }
    }

    /// Frees the JSON, because no stream is likely to need it soon. It is written again where one does.
    pub(super) fn free_json(&self) {
        *self.list.json.lock() = Json::Unwritten;
    }

    /// The number of sessions that are online.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns true if more sessions are online than are listed.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The data of `presence_state`.
    pub(in crate::live) fn state(&self, topic: &TopicId) -> Bytes {
        to_json(&PresenceState {
            topic,
            presences: &self.list_json(),
            presence_count: self.count,
            truncated: self.truncated,
        })
    }

    /// Returns true if `self` is a later view than `other`.
    pub(in crate::live) fn is_newer(&self, other: &Self) -> bool {
        self.version > other.version
    }

    /// Returns true if the session is listed.
    pub(in crate::live) fn lists(&self, session: SessionId) -> bool {
        self.find(session).is_ok()
    }

    /// The index of a session in the list, or else the index to insert it at.
    fn find(&self, session: SessionId) -> Result<usize, usize> {
        self.list.binary_search_by_key(&session, |presence| presence.session_id)
    }

    /// A digest that tells views apart for a long poll, which reconnects later, perhaps to another instance. It depends on
    /// what the view shows and on nothing else.
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

    /// The difference from this view to `next`.
    pub(super) fn difference(&self, next: &Self, topic: &TopicId) -> Difference {
        if self.truncated && !next.truncated {
            return Difference::WholeList;
        }
        let mut joins = Vec::new();
        let mut leaves = Vec::new();
        if !next.truncated {
            // Both lists are in the order of session ids. A changed presence is sent as a join of its session.
            let known = |p: &&Presence| self.find(p.session_id).is_ok_and(|at| *self.list[at] == **p);
            joins.extend(next.list.iter().map(Arc::as_ref).filter(|p| !known(p)));
            leaves.extend(self.list.iter().map(Arc::as_ref).filter(|p| next.find(p.session_id).is_err()));
        }
        if joins.is_empty() && leaves.is_empty() && self.count == next.count && self.truncated == next.truncated {
            return Difference::Nothing;
        }
        Difference::Changes(to_json(&PresenceChange {
            topic,
            joins: &joins,
            leaves: &leaves,
            presence_count: next.count,
            truncated: next.truncated,
        }))
    }
}
