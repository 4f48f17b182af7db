//! Joins that come and go while the stream is open.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Stream, Topic};
use crate::live::topic::HotTopic;
use crate::model::event_id::JoinNumber;
use crate::model::{Seq, TopicId};
use crate::store::{EndedJoin, Join, JoinEnd, StoreError, TopicKey, TopicRow};

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
        let (version, next_join_number, joins) = store.versioned_joins_of(self.session).await?;
        let joins: HashMap<JoinNumber, Join> = joins.into_iter().map(|join| (join.join_number, join)).collect();
        let gone: Vec<JoinNumber> =
            self.topics.keys().filter(|join_number| !joins.contains_key(join_number)).copied().collect();
        let from = gone.iter().copied().min().unwrap_or(self.next_join_number);
        let ended = store.ended_joins(self.session, from.min(self.next_join_number)).await?;
        let mut sent: HashMap<TopicKey, Seq> = HashMap::new();
        for topic in self.topics.values() {
            let furthest = sent.entry(topic.hot.key).or_default();
            *furthest = topic.place.position.max(*furthest);
        }
        self.end_joins(&gone, &ended.iter().map(|ended| (ended.join_number, ended.end)).collect());
        let unseen = self.next_join_number..next_join_number;
        self.next_join_number = self.next_join_number.max(next_join_number);
        let mut fresh = Vec::new();
        for ended in ended {
            if unseen.contains(&ended.join_number)
                && !gone.contains(&ended.join_number)
                && !joins.contains_key(&ended.join_number)
            {
                fresh.extend(self.show_unseen(&ended, sent.get(&ended.key).copied()));
            }
        }
        for (join_number, join) in joins {
            if !self.topics.contains_key(&join_number) {
                let TopicRow { key, id, .. } = join.topic;
                let topic = self.go_on(join_number, key, &id, join.position, sent.get(&key).copied());
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
    fn go_on(
        &mut self,
        join_number: JoinNumber,
        key: TopicKey,
        id: &TopicId,
        joined: Seq,
        sent: Option<Seq>,
    ) -> &mut Topic {
        let position = sent.map_or(joined, |sent| sent.max(joined));
        if position > joined {
            self.positions.reach(join_number, position);
        }
        self.listen(join_number, key, id, position)
    }

    /// A join that came and went between two looks: its client was answered, and hears all the same what was said up to
    /// the entry that ended it, or else that it has ended. Answers the topic, where there is something to hear.
    fn show_unseen(&mut self, ended: &EndedJoin, sent: Option<Seq>) -> Option<Arc<HotTopic>> {
        let EndedJoin { join_number, key, topic, position, end } = ended;
        if end.last.is_none_or(|last| sent.unwrap_or_default().max(*position) >= last) {
            self.say_left(*join_number, topic, end.reason.as_str());
            return None;
        }
        let topic = self.go_on(*join_number, *key, topic, *position, sent);
        topic.last = end.last;
        Some(topic.hot.clone())
    }

    /// Stops listening, once the entry that ended the join has been shown; says so, unless the topic was joined anew,
    /// under another join_number.
    fn end_joins(&mut self, join_numbers: &[JoinNumber], ended: &HashMap<JoinNumber, JoinEnd>) {
        for join_number in join_numbers {
            let Some(topic) = self.topics.get_mut(join_number) else {
                continue;
            };
            let last = ended.get(join_number).and_then(|end| end.last);
            if !topic.closed && last.is_some_and(|last| topic.place.position < last) {
                topic.last = last;
                self.enqueue(*join_number);
                continue;
            }
            let Some(topic) = self.topics.remove(join_number) else {
                continue;
            };
            topic.hot.unlisten(topic.number);
            match ended.get(join_number) {
                Some(end) => self.say_left(*join_number, &topic.hot.id, end.reason.as_str()),
                None => self.positions.told(*join_number),
            }
        }
    }
}
