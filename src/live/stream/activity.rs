//! Telling of direct messages that the session has not joined: that something is new there, and no more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Stream;
use crate::live::events;
use crate::live::signal::Activity;
use crate::model::message::to_json;
use crate::model::{Seq, TopicId};
use crate::store::TopicKey;

/// What a stream has told lately, and what it has to tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    topics: BTreeMap<TopicKey, Topic>,
}

#[derive(Debug)]
struct Topic {
    id: TopicId,
    newest: Seq,
    told: Seq,
    /// Not to be told before.
    again_at: Instant,
}

impl Told {
    /// Notes what is new.
    fn note(&mut self, news: Activity, now: Instant) {
        for (key, (id, seq)) in news {
            let topic = self.topics.entry(key).or_insert(Topic { id, newest: seq, told: Seq(0), again_at: now });
            topic.newest = topic.newest.max(seq);
        }
    }

    /// Takes what is to be told now, and forgets what has been quiet for an interval.
    fn take(&mut self, now: Instant, interval: Duration) -> Vec<(TopicId, Seq)> {
        let mut due = Vec::new();
        self.topics.retain(|_, topic| {
            let rested = topic.again_at <= now;
            if rested && topic.told < topic.newest {
                (topic.told, topic.again_at) = (topic.newest, now + interval);
                due.push((topic.id.clone(), topic.newest));
                return true;
            }
            !rested
        });
        due
    }

    /// When something is to be told next.
    fn due(&self) -> Option<Instant> {
        self.topics.values().filter(|topic| topic.told < topic.newest).map(|topic| topic.again_at).min()
    }
}

impl Stream {
    /// Tells what is new in direct messages, each at most once an interval. Where the joins are still to be read, one of
    /// them may be of such a topic, and then its messages come instead.
    pub(super) fn tell_activity(&mut self, news: Activity) {
        let now = self.now;
        self.told.note(news, now);
        if self.told.topics.is_empty() || self.reload {
            return;
        }
        for topic in self.topics.values() {
            self.told.topics.remove(&topic.hot.key);
        }
        for (topic, last_seq) in self.told.take(now, self.hub.inner.settings.presence_interval) {
            self.say("activity", false, &to_json(&events::Activity { topic: &topic, last_seq }));
        }
    }

    /// When the stream has to tell something next.
    pub(super) fn activity_due(&self) -> Option<Instant> {
        self.told.due().filter(|_| !self.reload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn news(seqs: &[(TopicKey, i64)]) -> Activity {
        seqs.iter().map(|&(key, seq)| (key, (TopicId::stored(&format!("dm:a:{key}")), Seq(seq)))).collect()
    }

    fn taken(told: &mut Told, now: Instant) -> Vec<(String, i64)> {
        told.take(now, SECOND).into_iter().map(|(id, seq)| (id.as_str().to_owned(), seq.0)).collect()
    }

    #[test]
    fn each_topic_is_told_of_at_once_and_then_once_an_interval_with_its_newest_entry() {
        let (mut told, start) = (Told::default(), Instant::now());
        told.note(news(&[(1, 5), (2, 7)]), start);
        assert_eq!(taken(&mut told, start), [("dm:a:1".into(), 5), ("dm:a:2".into(), 7)]);
        assert_eq!(told.due(), None);
        told.note(news(&[(1, 6)]), start + SECOND / 4);
        told.note(news(&[(1, 8)]), start + SECOND / 2);
        assert_eq!(taken(&mut told, start + SECOND / 2), []);
        assert_eq!(told.due(), Some(start + SECOND));
        assert_eq!(taken(&mut told, start + SECOND), [("dm:a:1".into(), 8)]);
        assert_eq!(taken(&mut told, start + SECOND * 2), [], "nothing new");
        assert!(told.topics.is_empty(), "and nothing is kept of it");
    }

    #[test]
    fn what_comes_late_does_not_take_the_newest_back() {
        let (mut told, start) = (Told::default(), Instant::now());
        told.note(news(&[(1, 5)]), start);
        told.note(news(&[(1, 4)]), start);
        assert_eq!(taken(&mut told, start), [("dm:a:1".into(), 5)]);
        told.note(news(&[(1, 3)]), start);
        assert_eq!(told.due(), None);
    }
}
