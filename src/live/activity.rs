//! What is new in direct messages, told to every stream of their users: by a hint, and where that is lost, by a regular
//! look at the direct messages of those who listen here.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::hub::{Hub, lock};
use crate::model::{Seq, TopicId, UserId};
use crate::store::{RecentDm, StoreError, TopicKey};

/// How far a look goes back: three looks at least come by each message.
const BACK: Duration = Duration::from_secs(60);
/// Users of one query.
const USERS: usize = 500;

/// The newest entries that the streams here have been told of, for as long as a look goes back.
// Not an async mutex: nothing is awaited while it is held.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<TopicKey, (Seq, Instant)>>);

impl Told {
    /// Notes that this is told; answers whether it is news.
    fn note(&self, key: TopicKey, last: Seq) -> bool {
        let mut told = lock(&self.0);
        let (newest, at) = told.entry(key).or_insert((Seq(0), Instant::now()));
        *at = Instant::now();
        let news = last > *newest;
        *newest = last.max(*newest);
        news
    }

    pub(super) fn forget_old(&self) {
        lock(&self.0).retain(|_, (_, at)| at.elapsed() < 2 * BACK);
    }
}

impl Hub {
    /// Tells all streams of these users of a direct message. Those that listen to it know already, and say nothing.
    pub(super) fn active(&self, key: TopicKey, topic: &TopicId, last: Seq) {
        let Some((one, other)) = topic.dm_users() else { return };
        let wakes = [self.wakes_of(&one), self.wakes_of(&other)].concat();
        // Nobody is told twice of the same, where a hint may come twice, or behind a look.
        let told = self.inner.store.is_shared() && !wakes.is_empty() && !self.inner.told.note(key, last);
        if !told {
            wakes.iter().for_each(|wake| wake.active(key, topic, last));
        }
    }

    /// Looks for what no hint told, for one user in `every`.
    pub(super) async fn look_for_activity(&self, turn: u64, every: u64) -> Result<(), StoreError> {
        let due = |user: &UserId| {
            let mut hasher = DefaultHasher::new();
            user.hash(&mut hasher);
            hasher.finish() % every == turn
        };
        let users: Vec<UserId> = self.users().into_iter().filter(due).collect();
        let since = self.inner.store.now().minus(BACK);
        for chunk in users.chunks(USERS) {
            for dm in self.inner.store.recent_dms(chunk, since).await? {
                if self.inner.told.note(dm.key, dm.last_seq) {
                    self.tell_of(&dm);
                }
            }
        }
        Ok(())
    }

    /// Tells both users, as the other one's turn finds no news any more. What was there when a stream opened is no news to
    /// it.
    fn tell_of(&self, dm: &RecentDm) {
        let Some((one, other)) = dm.topic.dm_users() else { return };
        let wakes = [self.wakes_of(&one), self.wakes_of(&other)].concat();
        let since = wakes.iter().filter(|wake| wake.since() <= dm.last_at);
        since.for_each(|wake| wake.active(dm.key, &dm.topic, dm.last_seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_what_is_newer() {
        let told = Told::default();
        assert!(told.note(1, Seq(3)));
        assert!(!told.note(1, Seq(3)));
        assert!(!told.note(1, Seq(2)));
        assert!(told.note(1, Seq(4)));
        assert!(told.note(2, Seq(1)));
        told.forget_old();
        assert!(!told.note(2, Seq(1)), "not for a while");
    }
}
