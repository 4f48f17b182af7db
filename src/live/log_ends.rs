//! The ends of logs: how the hub learns how far active topics have come, whatever hints have reported.

use std::collections::HashMap;
use std::sync::Arc;

use super::hub::Hub;
use super::topic::{ActiveTopic, EndSource};
use crate::model::Seq;
use crate::store::{StoreError, TopicKey};

/// The number of topics in one query.
const TOPICS_PER_QUERY: usize = 500;

impl Hub {
    /// Reads the ends of topics that have just become active. Their listeners are registered and hints of other instances
    /// are received by then, so no entry is missed in between.
    pub(super) async fn sync_ends(&self, topics: &[Arc<ActiveTopic>]) -> Result<(), StoreError> {
        let unsynced = topics.iter().filter(|topic| topic.synced_end().is_none());
        let unsynced: Vec<_> = unsynced.map(|topic| topic.key).collect();
        if !unsynced.is_empty() {
            self.inner.bus.settled().await;
        }
        self.read_ends(&unsynced).await
    }

    /// Prepares memory for a stream that opens on topics whose logs have come this far. A stream that opens after a
    /// redaction never shows the redacted content, so what another instance has redacted, and no hint has reported here yet,
    /// must leave the memory of this one first. A `poll` answers with everything that was acknowledged before it; a stream
    /// receives soon what is only late.
    pub(super) async fn drop_redacted(&self, topics: &[(Arc<ActiveTopic>, Seq)], poll: bool) -> Result<(), StoreError> {
        if self.is_alone() {
            return Ok(()); // every commit has been applied
        }
        for (topic, last) in topics {
            let is_stale = match topic.synced_end() {
                Some(known) if known >= *last => false,
                Some(_) if poll => topic.observe_end(*last, EndSource::Hint),
                Some(known) => {
                    self.inner.store.has_removal(topic.key, known, *last).await?
                        && topic.observe_end(*last, EndSource::Hint)
                }
                None => true, // pages may remain from an earlier time when the topic was active
            };
            if is_stale {
                self.inner.pages.forget(topic.key);
            }
        }
        Ok(())
    }

    /// Reads how far the logs of these topics have come.
    pub(super) async fn read_ends(&self, topics: &[TopicKey]) -> Result<(), StoreError> {
        for chunk in topics.chunks(TOPICS_PER_QUERY) {
            for (key, last) in self.inner.store.last_seqs(chunk).await? {
                if let Some(topic) = self.active_topic(key) {
                    topic.observe_end(last, EndSource::Database);
                }
            }
        }
        Ok(())
    }

    /// Compares all active topics with the database. `source` decides whether an unknown end counts at once: it does if
    /// hints are known to be lost.
    pub(super) async fn compare_ends(&self, source: EndSource) -> Result<(), StoreError> {
        for chunk in self.active_topics().chunks(TOPICS_PER_QUERY) {
            let keys: Vec<_> = chunk.iter().map(|topic| topic.key).collect();
            let ends: HashMap<_, _> = self.inner.store.last_seqs(&keys).await?.into_iter().collect();
            for topic in chunk {
                let end = ends.get(&topic.key);
                if end.is_some_and(|end| topic.observe_end(*end, source)) {
                    self.inner.pages.forget(topic.key); // a missing entry may redact
                }
            }
        }
        Ok(())
    }
}
