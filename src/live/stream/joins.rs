//! Joins that are made or end while the stream is open.

use std::collections::HashMap;
use std::sync::Arc;

use litemap::Entry;

use super::state::{JoinedTopic, Stream};
use crate::live::items::TopicPosition;
use crate::live::listener::TopicListener;
use crate::live::topic::ActiveTopic;
use crate::model::event_id::JoinNumber;
use crate::model::{Seq, TopicId};
use crate::store::{EndedJoin, Join, JoinEnd, StoreError, TopicKey, TopicRow};

impl Stream {
    /// Starts listening to a topic from a position on. Its presence and its entries wait for their turn.
    pub(super) fn listen(
        &mut self,
        join_number: JoinNumber,
        key: TopicKey,
        id: &TopicId,
        position: Seq,
    ) -> &mut JoinedTopic {
        let active = self.hub.activate(key, id);
        let listener = Arc::new(TopicListener::new(self.signal.clone(), join_number));
        let (listener_number, ephemeral) = active.add_listener(listener.clone());
        listener.notify();
        let topic = JoinedTopic {
            active,
            listener,
            listener_number,
            position: TopicPosition { seq: position, ephemeral },
            queued: false,
            gap_to: None,
            shown: None,
            known_digest: None,
            join_end: None,
            closed: false,
            page_read: None,
        };
        match self.topics.entry(join_number) {
            Entry::Vacant(vacant) => vacant.insert(topic),
            Entry::Occupied(mut occupied) => {
                occupied.insert(topic);
                occupied.into_mut()
            }
        }
    }

    /// Reads the session's joins again: starts listening to new ones, and ends those that have ended.
    pub(super) async fn reload_joins(&mut self) {
        self.reload = false;
        if let Err(error) = self.compare_joins().await {
            self.reload = true;
            self.retry_later(&error);
        }
    }

    async fn compare_joins(&mut self) -> Result<(), StoreError> {
        let store = self.hub.inner.store.clone();
        let (version, next_join_number, joins) = store.versioned_joins_of(self.session).await?;
        let joins: HashMap<JoinNumber, Join> = joins.into_iter().map(|join| (join.join_number, join)).collect();
        let gone: Vec<JoinNumber> = self.topics.keys().filter(|number| !joins.contains_key(number)).copied().collect();
        let from = gone.iter().copied().min().unwrap_or(self.next_join_number);
        let ended = store.ended_joins(self.session, from.min(self.next_join_number)).await?;
        let sent = self.sent_by_topic();
        self.end_joins(&gone, &ended.iter().map(|ended| (ended.join_number, ended.end)).collect());
        let unread = self.next_join_number..next_join_number;
        self.next_join_number = self.next_join_number.max(next_join_number);
        let mut added = Vec::new();
        for ended in ended {
            let number = &ended.join_number;
            if unread.contains(number) && !gone.contains(number) && !joins.contains_key(number) {
                added.extend(self.show_unread(&ended, sent.get(&ended.key).copied()));
            }
        }
        for (join_number, join) in joins {
            if !self.topics.contains_key(&join_number) {
                let TopicRow { key, id, .. } = join.topic;
                let topic = self.listen_after(join_number, key, &id, join.position, sent.get(&key).copied());
                added.push(topic.active.clone());
            }
        }
        self.signal.set_joins_version(version);
        if let Err(error) = self.hub.sync_ends(&added).await {
            self.retry_later(&error); // the regular comparison finds the ends
        }
        Ok(())
    }

    /// The last entry that was sent of each topic.
    fn sent_by_topic(&self) -> HashMap<TopicKey, Seq> {
        let mut sent: HashMap<TopicKey, Seq> = HashMap::new();
        for topic in self.topics.values() {
            let last = sent.entry(topic.active.key).or_default();
            *last = topic.position.seq.max(*last);
        }
        sent
    }

    /// Starts listening where the topic was joined. Where it was left and joined again and this stream has sent more of it,
    /// starts after what was sent.
    fn listen_after(
        &mut self,
        join_number: JoinNumber,
        key: TopicKey,
        id: &TopicId,
        joined: Seq,
        sent: Option<Seq>,
    ) -> &mut JoinedTopic {
        let position = sent.map_or(joined, |sent| sent.max(joined));
        if position > joined {
            self.positions.set_sent_up_to(join_number, position);
        }
        self.listen(join_number, key, id, position)
    }

    /// Shows a join that was made and ended between two reads of the joins. Its request succeeded, so the client gets the
    /// log up to the entry that ended the join, or at least the end. Returns the topic if there is something to show of it.
    fn show_unread(&mut self, ended: &EndedJoin, sent: Option<Seq>) -> Option<Arc<ActiveTopic>> {
        let EndedJoin { join_number, key, topic, position, end } = ended;
        if end.last.is_none_or(|last| sent.unwrap_or_default().max(*position) >= last) {
            self.write_left(*join_number, topic, end.reason.as_str());
            return None;
        }
        let topic = self.listen_after(*join_number, *key, topic, *position, sent);
        topic.join_end = end.last;
        Some(topic.active.clone())
    }

    /// Stops listening, once the entry that ended the join has been shown, and writes `left`. A join without a recorded
    /// end has been replaced by another join of the topic, and needs no `left`.
    fn end_joins(&mut self, join_numbers: &[JoinNumber], ended: &HashMap<JoinNumber, JoinEnd>) {
        for join_number in join_numbers {
            let Some(topic) = self.topics.get_mut(join_number) else {
                continue;
            };
            let last = ended.get(join_number).and_then(|end| end.last);
            if !topic.closed && last.is_some_and(|last| topic.position.seq < last) {
                topic.join_end = last;
                self.enqueue(*join_number);
                continue;
            }
            let Some(topic) = self.topics.remove(join_number) else {
                continue;
            };
            topic.active.remove_listener(topic.listener_number);
            match ended.get(join_number) {
                Some(end) => self.write_left(*join_number, &topic.active.id, end.reason.as_str()),
                None => self.positions.set_end_sent(*join_number),
            }
        }
    }
}
