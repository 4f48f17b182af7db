//! The hub's regular work: presence intervals, writing down which streams have ended, the lease, and looking for whatever
//! no hint said.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::hub::{Closed, Hub, lock};
use super::signal::End;
use super::topic::HotTopic;
use crate::store::{Store, StoreError};

/// How often hot topics and open streams are compared with the database.
const RECONCILE: Duration = Duration::from_secs(5);
/// How long a topic without listeners stays hot.
const LINGER: Duration = Duration::from_secs(60);
/// What all tails together may take.
const TAILS: usize = 64 * 1024 * 1024;
/// Streams whose end is written down in one transaction.
const CLOSE_BATCH: usize = 256;

impl Hub {
    /// Works until `stop`; then every stream's end has been written down and the lease given back.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            tokio::join!(self.publish_presence(), self.write_down_closed(), self.renew_lease(), self.reconcile());
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        let Some(error) = self.give_up_lease().await.err() else {
            return;
        };
        tracing::warn!(%error, "the lease could not be given back: sessions stay online until it lapses");
    }

    /// Takes this instance's lease; nothing may be served before it stands.
    pub async fn take_lease(&self) -> Result<(), StoreError> {
        self.store().renew_lease(self.inner.settings.node, self.inner.settings.lease).await
    }

    async fn give_up_lease(&self) -> Result<(), StoreError> {
        self.close_all(self.take_closed()).await?;
        self.store().release_lease(self.inner.settings.node, self.grace()).await
    }

    async fn publish_presence(&self) {
        let mut ticks = interval(self.inner.settings.presence_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.store().now();
            for topic in self.hot_topics() {
                if !topic.presence.is_due(now) {
                    continue;
                }
                if let Err(error) = self.look(&topic).await {
                    tracing::debug!(%error, "presence could not be read");
                    topic.presence.touch();
                    continue;
                }
                if topic.presence.publish(&topic.id) {
                    topic.wake_for_presence();
                }
            }
        }
    }

    async fn write_down_closed(&self) {
        loop {
            self.inner.closing.notified().await;
            let closed = self.take_closed();
            if let Err(error) = self.close_all(closed).await {
                tracing::debug!(%error, "ended streams could not be written down yet");
                sleep(Duration::from_secs(1)).await;
                self.inner.closing.notify_one();
            }
        }
    }

    async fn close_all(&self, mut closed: Vec<Closed>) -> Result<(), StoreError> {
        while !closed.is_empty() {
            let batch = closed.split_off(closed.len().saturating_sub(CLOSE_BATCH));
            let mut streams: Vec<_> = batch.iter().map(|closed| (closed.session, closed.stream)).collect();
            streams.sort_unstable(); // as every transaction that locks several sessions does
            if let Err(error) = self.store().close_streams(streams, self.grace()).await {
                closed.extend(batch);
                self.put_back_closed(closed);
                return Err(error);
            }
            // Nobody is gone yet; but from now on their time runs, and the views have to know until when.
            batch.iter().for_each(|closed| self.presence_changed(&closed.topics));
        }
        Ok(())
    }

    async fn renew_lease(&self) {
        let mut ticks = interval(self.inner.settings.lease / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.take_lease().await {
                tracing::warn!(%error, "the lease could not be renewed");
            }
            if let Err(error) = self.store().sweep_nodes(self.grace()).await {
                tracing::debug!(%error, "lapsed leases could not be swept");
            }
        }
    }

    async fn reconcile(&self) {
        let mut ticks = interval(RECONCILE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.inner.pages.prune();
            self.cool_topics();
            let keys: Vec<_> = self.hot_topics().iter().map(|topic| topic.key).collect();
            let ends = self.read_ends(&keys).await;
            if let Err(error) = ends.and(self.compare_streams().await) {
                tracing::debug!(%error, "could not compare with the database");
            }
        }
    }

    /// Ends streams whose session has ended, or streams elsewhere by now; lets others read their joins that have changed.
    async fn compare_streams(&self) -> Result<(), StoreError> {
        let streams = self.open_streams();
        for chunk in streams.chunks(500) {
            let sessions: Vec<_> = chunk.iter().map(|(session, _)| *session).collect();
            let versions = self.store().versions(&sessions).await?;
            for (session, wake) in chunk.iter().filter(|(_, wake)| wake.generation() != 0) {
                match versions.get(session) {
                    None => wake.end(End::SignedOut),
                    Some(version) if version.stream > wake.generation() => wake.end(End::Replaced),
                    Some(version) if version.joins != wake.joins() => wake.joins_changed(),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Forgets topics that nobody has listened to for a while, and tails beyond the budget, the largest first.
    fn cool_topics(&self) {
        let cold = |topic: &HotTopic| topic.deserted().is_some_and(|since| since.elapsed() >= LINGER);
        // A stream that is being opened holds a topic before it listens: then somebody else has it, too.
        lock(&self.inner.topics).retain(|_, topic| !(cold(topic) && Arc::strong_count(topic) == 1));
        let mut sizes: Vec<_> = self.hot_topics().into_iter().map(|topic| (topic.tail_bytes(), topic)).collect();
        let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
        sizes.sort_unstable_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (size, topic) in sizes {
            if total <= TAILS {
                break;
            }
            topic.drop_tail();
            total -= size;
        }
    }

    fn hot_topics(&self) -> Vec<Arc<HotTopic>> {
        lock(&self.inner.topics).values().cloned().collect()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }
}
