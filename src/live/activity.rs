//! New entries in direct messages, reported to every stream of their users: by a hint, and where a hint is lost, by a
//! regular query for the direct messages of the users who have a stream here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::hub::Hub;
use super::reported::ACTIVITY_LOOKBACK;
use crate::model::{Seq, TopicId, UserId};
use crate::store::{RecentDm, StoreError, TopicKey};

/// The number of users in one query.
const USERS_PER_QUERY: usize = 500;

impl Hub {
    /// Notifies all streams of the users of a direct message. A stream that has joined it writes the messages instead.
    pub(super) fn report_activity(&self, key: TopicKey, topic: &TopicId, last: Seq) {
        let Some((one, other)) = topic.dm_users() else { return };
        let signals = [self.signals_of(&one), self.signals_of(&other)].concat();
        // Where several instances share the database, a hint may come twice, or after the regular query.
        let shared = self.inner.store.is_shared() && !signals.is_empty();
        if !shared || self.inner.reported.record(key, last) {
            signals.iter().for_each(|signal| signal.new_activity(key, topic, last));
        }
    }

    /// Queries for activity that no hint reported, for one of `every` users.
    pub(super) async fn query_activity(&self, turn: u64, every: u64) -> Result<(), StoreError> {
        let is_due = |user: &UserId| {
            let mut hasher = DefaultHasher::new();
            user.hash(&mut hasher);
            hasher.finish() % every == turn
        };
        let users: Vec<UserId> = self.users().into_iter().filter(is_due).collect();
        let since = self.inner.store.now().minus(ACTIVITY_LOOKBACK);
        for chunk in users.chunks(USERS_PER_QUERY) {
            for dm in self.inner.store.recent_dms(chunk, since).await? {
                if self.inner.reported.record(dm.key, dm.last_seq) {
                    self.report_found(&dm);
                }
            }
        }
        Ok(())
    }

    /// Notifies both users, because the query for the other one finds it reported. A stream that opened after the entry was
    /// stored is not notified: to it the entry is not new.
    fn report_found(&self, dm: &RecentDm) {
        let Some((one, other)) = dm.topic.dm_users() else { return };
        for signal in [self.signals_of(&one), self.signals_of(&other)].concat() {
            if signal.since() <= dm.last_at {
                signal.new_activity(dm.key, &dm.topic, dm.last_seq);
            }
        }
    }
}
