//! Joins that come and go while the stream is open.

use std::collections::HashMap;

use super::Stream;
use crate::model::Seq;
use crate::model::event_id::Slot;
use crate::store::{JoinEnd, Joined, StoreError};

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
        // A topic that was left and joined anew goes on behind what this stream has sent of it, were that more.
        let sent = |key, topics: &std::collections::BTreeMap<Slot, super::Topic>| {
            topics.values().filter(|topic| topic.hot.key == key).map(|topic| topic.place.position).max()
        };
        let behind: HashMap<Slot, Seq> = joins
            .values()
            .filter_map(|join| Some((join.slot, sent(join.topic.key, &self.topics)?.max(join.position))))
            .collect();
        let gone: Vec<Slot> = self.topics.keys().filter(|slot| !joins.contains_key(slot)).copied().collect();
        let from = gone.iter().copied().min().unwrap_or(self.next_slot);
        let ended = store.ended_joins(self.session, from.min(self.next_slot)).await?;
        self.end_joins(&gone, &ended.iter().map(|(slot, _, end)| (*slot, *end)).collect());
        // A join that came and went between two looks: its client was answered, and hears of the end all the same.
        for (slot, topic, end) in ended {
            let unseen = (self.next_slot..next_slot).contains(&slot) && !gone.contains(&slot);
            if unseen && !joins.contains_key(&slot) {
                self.say_left(slot, &topic, end.reason.as_str());
            }
        }
        self.next_slot = self.next_slot.max(next_slot);
        let mut fresh = Vec::new();
        for (slot, join) in joins {
            if !self.topics.contains_key(&slot) {
                let position = behind.get(&slot).copied().unwrap_or(join.position);
                let topic = self.listen(slot, join.topic.key, &join.topic.id, position);
                fresh.push(topic.hot.clone());
                if position > join.position {
                    self.positions.reach(slot, position);
                }
            }
        }
        self.wake.set_joins(version);
        if let Err(error) = self.hub.sync(&fresh).await {
            self.ask_later(&error); // the regular comparison catches up on it
        }
        Ok(())
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
