//! Regular work in the background: what keeps callers online, and the removal of what is old.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::service::Chat;
use crate::store::StoreError;

/// The time for which calls are collected before they are written.
const CALLS_WRITE_DELAY: Duration = Duration::from_millis(100);
/// The number of sessions that one transaction writes at most.
const CALLS_BATCH_SESSIONS: usize = 256;
/// The longest interval between two clean-ups.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(60);
/// The age at which the row of an ended session is deleted.
const ENDED_SESSION_TTL: Duration = Duration::from_secs(60 * 60);
/// The age at which the log of a deleted group is deleted. Until then, streams that lag end with `left` and not with
/// gaps.
const DELETED_TOPIC_TTL: Duration = Duration::from_secs(60);

impl Chat {
    /// Does the regular work until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async { tokio::join!(self.write_recent_calls(), self.clean_up_regularly()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
    }

    /// Writes the recent calls to the database, a few times a second. Does not end.
    async fn write_recent_calls(&self) {
        loop {
            self.inner.recent_calls.recorded().await;
            tokio::time::sleep(CALLS_WRITE_DELAY).await;
            let touches = self.inner.recent_calls.take();
            for batch in touches.chunks(CALLS_BATCH_SESSIONS) {
                match self.store().record_calls(batch.to_vec(), self.inner.hub.grace()).await {
                    Ok(appeared) => self.inner.hub.presence_changed(&appeared),
                    Err(error) => tracing::debug!(%error, "recent calls could not be written"),
                }
            }
        }
    }

    async fn clean_up_regularly(&self) {
        let interval = self.inner.settings.history_ttl.map_or(CLEAN_UP_INTERVAL, |ttl| CLEAN_UP_INTERVAL.min(ttl));
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            self.inner.typing.prune();
            if let Err(error) = self.clean_up().await {
                tracing::debug!(%error, "a clean-up failed and is retried later");
            }
        }
    }

    async fn clean_up(&self) -> Result<(), StoreError> {
        while self.store().purge_sessions(ENDED_SESSION_TTL).await? > 0 {}
        while self.store().purge_deleted_topics(DELETED_TOPIC_TTL).await? {}
        match self.inner.settings.history_ttl {
            Some(ttl) => self.prune_topics(ttl).await,
            None => Ok(()),
        }
    }

    /// Prunes the entries of every topic that are older than `ttl`.
    async fn prune_topics(&self, ttl: Duration) -> Result<(), StoreError> {
        let before = self.store().now().minus(ttl);
        let mut after = 0;
        loop {
            let topics = self.store().topics_after(after).await?;
            let Some(&last) = topics.last() else { return Ok(()) };
            for topic in topics {
                if let Some(pruned) = self.store().prune_topic(topic, before).await? {
                    self.inner.hub.pruned(topic, pruned);
                }
            }
            after = last;
        }
    }
}
