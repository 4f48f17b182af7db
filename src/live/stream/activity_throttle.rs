//! Limits how often a stream reports activity: each topic at most once per interval, with its newest entry.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::live::signal::NewActivity;
use crate::model::{Seq, TopicId};
use crate::store::TopicKey;

/// The activity that a stream has reported lately or has to report.
#[derive(Debug, Default)]
pub(super) struct ActivityThrottle {
    topics: BTreeMap<TopicKey, Topic>,
}

#[derive(Debug)]
struct Topic {
    id: TopicId,
    newest: Seq,
    reported: Seq,
    /// The topic is not reported before then.
    next_at: Instant,
}

impl ActivityThrottle {
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Adds new entries.
    pub(super) fn add(&mut self, new: NewActivity, now: Instant) {
        for (key, (id, seq)) in new {
            let topic = self.topics.entry(key).or_insert(Topic { id, newest: seq, reported: Seq(0), next_at: now });
            topic.newest = topic.newest.max(seq);
        }
    }

    /// Forgets a topic.
    pub(super) fn remove(&mut self, key: TopicKey) {
        self.topics.remove(&key);
    }

    /// Takes what has to be reported now, and forgets topics without a new entry for an interval.
    pub(super) fn take_due(&mut self, now: Instant, interval: Duration) -> Vec<(TopicId, Seq)> {
        let mut due = Vec::new();
        self.topics.retain(|_, topic| {
            if topic.next_at > now {
                return true;
            }
            let is_due = topic.reported < topic.newest;
            if is_due {
                topic.reported = topic.newest;
                topic.next_at = now + interval;
                due.push((topic.id.clone(), topic.newest));
            }
            is_due
        });
        due
    }

    /// When something has to be reported next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.topics.values().filter(|topic| topic.reported < topic.newest).map(|topic| topic.next_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn news(seqs: &[(TopicKey, i64)]) -> NewActivity {
        seqs.iter().map(|&(key, seq)| (key, (TopicId::stored(&format!("dm:a:{key}")), Seq(seq)))).collect()
    }

    fn taken(throttle: &mut ActivityThrottle, now: Instant) -> Vec<(String, i64)> {
        throttle.take_due(now, SECOND).into_iter().map(|(id, seq)| (id.as_str().to_owned(), seq.0)).collect()
    }

    #[test]
    fn each_topic_is_reported_at_once_and_then_once_an_interval_with_its_newest_entry() {
        let mut throttle = ActivityThrottle::default();
        let start = Instant::now();
        throttle.add(news(&[(1, 5), (2, 7)]), start);
        assert_eq!(taken(&mut throttle, start), [("dm:a:1".into(), 5), ("dm:a:2".into(), 7)]);
        assert_eq!(throttle.next_due(), None);
        throttle.add(news(&[(1, 6)]), start + SECOND / 4);
        throttle.add(news(&[(1, 8)]), start + SECOND / 2);
        assert_eq!(taken(&mut throttle, start + SECOND / 2), []);
        assert_eq!(throttle.next_due(), Some(start + SECOND));
        assert_eq!(taken(&mut throttle, start + SECOND), [("dm:a:1".into(), 8)]);
        assert_eq!(taken(&mut throttle, start + SECOND * 2), [], "nothing new");
        assert!(throttle.topics.is_empty(), "and the topic is forgotten");
    }

    #[test]
    fn an_older_entry_does_not_take_the_newest_back() {
        let mut throttle = ActivityThrottle::default();
        let start = Instant::now();
        throttle.add(news(&[(1, 5)]), start);
        throttle.add(news(&[(1, 4)]), start);
        assert_eq!(taken(&mut throttle, start), [("dm:a:1".into(), 5)]);
        throttle.add(news(&[(1, 3)]), start);
        assert_eq!(throttle.next_due(), None);
    }
}
