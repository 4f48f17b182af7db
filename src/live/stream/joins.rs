//! Joins that come and go while the stream is open.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Stream, Topic};
use crate::live::topic::HotTopic;
use crate::model::event_id::Slot;
use crate::model::{Seq, TopicId};
use crate::store::{EndedJoin, JoinEnd, Joined, StoreError, TopicKey, TopicRow};

impl Stream {
    /// Reads the session's joins again: starts what is new, ends what is gone.
    pub(super) async fn reload_joins(&mut self) {
        self.reload = false;
        if let Err(error) = self.compare_joins().await {
            self.reload = true;
            self.ask_later(&error);
        }
    }

    async fn compare_joins(&mut self) -> Result<(), StoreError> {
        let store = self.hub.inner.store.clone();
        let (version, next_slot, joins) = store.versioned_joins_of(self.session).await?;
        let joins: HashMap<Slot, Joined> = joins.into_iter().map(|join| (join.slot, join)).collect();
        let gone: Vec<Slot> = self.topics.keys().filter(|slot| !joins.contains_key(slot)).copied().collect();
        let from = gone.iter().copied().min().unwrap_or(self.next_slot);
        let ended = store.ended_joins(self.session, from.min(self.next_slot)).await?;
        let mut sent: HashMap<TopicKey, Seq> = HashMap::new();
        for topic in self.topics.values() {
            let furthest = sent.entry(topic.hot.key).or_default();
            *furthest = topic.place.position.max(*furthest);
        }
        self.end_joins(&gone, &ended.iter().map(|ended| (ended.slot, ended.end)).collect());
        let unseen = self.next_slot..next_slot;
        self.next_slot = self.next_slot.max(next_slot);
        let mut fresh = Vec::new();
        for ended in ended {
            if unseen.contains(&ended.slot) && !gone.contains(&ended.slot) && !joins.contains_key(&ended.slot) {
                fresh.extend(self.show_unseen(&ended, sent.get(&ended.key).copied()));
            }
        }
        for (slot, join) in joins {
            if !self.topics.contains_key(&slot) {
                let TopicRow { key, id, .. } = join.topic;
                let topic = self.go_on(slot, key, &id, join.position, sent.get(&key).copied());
                fresh.push(topic.hot.clone());
            }
        }
        self.wake.set_joins(version);
        if let Err(error) = self.hub.sync(&fresh).await {
            self.ask_later(&error); // the regular comparison catches up on it
        }
        Ok(())
    }

    /// Starts listening where a topic was joined; where it was left and joined anew, behind what this stream has sent of
    /// it, were that more.
    fn go_on(&mut self, slot: Slot, key: TopicKey, id: &TopicId, joined: Seq, sent: Option<Seq>) -> &mut Topic {
        let position = sent.map_or(joined, |sent| sent.max(joined));
        if position > joined {
            self.positions.reach(slot, position);
        }
        self.listen(slot, key, id, position)
    }

    /// A join that came and went between two looks: its client was answered, and hears all the same what was said up to
    /// the entry that ended it, or else that it has ended. Answers the topic, where there is something to hear.
    fn show_unseen(&mut self, ended: &EndedJoin, sent: Option<Seq>) -> Option<Arc<HotTopic>> {
        let EndedJoin { slot, key, topic, position, end } = ended;
        if end.last.is_none_or(|last| sent.unwrap_or_default().max(*position) >= last) {
            self.say_left(*slot, topic, end.reason.as_str());
            return None;
        }
        let topic = self.go_on(*slot, *key, topic, *position, sent);
        topic.last = end.last;
        Some(topic.hot.clone())
    }

    /// Stops listening, once the entry that ended the join has been shown; says so, unless the topic was joined anew,
    /// under another slot.
    fn end_joins(&mut self, slots: &[Slot], ended: &HashMap<Slot, JoinEnd>) {
        for slot in slots {
            let Some(topic) = self.topics.get_mut(slot) else {
                continue;
            };
            let last = ended.get(slot).and_then(|end| end.last);
            if !topic.closed && last.is_some_and(|last| topic.place.position < last) {
                topic.last = last;
                self.enqueue(*slot);
                continue;
            }
            let Some(topic) = self.topics.remove(slot) else {
                continue;
            };
            topic.hot.unlisten(topic.number);
            match ended.get(slot) {
                Some(end) => self.say_left(*slot, &topic.hot.id, end.reason.as_str()),
                None => self.positions.told(*slot),
            }
        }
    }
}
