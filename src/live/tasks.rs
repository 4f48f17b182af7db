//! The hub's regular work, in one place: what runs until the instance stops. It publishes presence at the end of each
//! interval; the other tasks are in `closed`, `lease`, `reconcile` and `hints`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::presence::Due;
use super::topic::ActiveTopic;
use crate::bus::Hint;

/// The number of topics whose presence is refreshed at the same time.
const CONCURRENT_REFRESHES: usize = 4;

impl Hub {
    /// Works until `stop` is cancelled. Then it records the end of every stream and gives the lease back.
    /// `hints` are the hints of other instances.
    pub(crate) async fn run(self, hints: mpsc::Receiver<Hint>, stop: CancellationToken) {
        let work = async {
            let regular = async { tokio::join!(self.publish_presence(), self.record_closed(), self.renew_lease()) };
            tokio::join!(regular, self.reconcile(), self.receive_hints(hints));
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        if let Err(error) = self.release_lease().await {
            tracing::warn!(%error, "the lease could not be given back: sessions stay online until it expires");
        }
        self.inner.bus.close().await;
    }

    /// Does what is due at the end of each presence interval. A slow refresh delays its own topic and no other.
    async fn publish_presence(&self) {
        let mut ticks = interval(self.inner.settings.presence_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let permits = Semaphore::new(CONCURRENT_REFRESHES);
        let mut publications = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(()) = publications.next() => continue,
            }
            if self.has_expired() || self.trusts_others() {
                continue; // by the leases, streams of this instance or of others are closed; a view would show that
            }
            let now = self.inner.store.now();
            for topic in self.active_topics() {
                if let Some(due) = topic.presence.begin_interval(now) {
                    publications.push(self.publish(topic, due, &permits));
                }
            }
        }
    }

    async fn publish(&self, topic: Arc<ActiveTopic>, due: Due, permits: &Semaphore) {
        if due == Due::Refresh {
            let Ok(_permit) = permits.acquire().await else { return }; // it is never closed
            if let Err(error) = self.refresh_presence(&topic).await {
                tracing::debug!(%error, "presence could not be read");
                topic.presence.end_interval();
                return;
            }
        }
        if topic.presence.publish(&topic.id) {
            topic.notify_presence();
        }
        topic.presence.end_interval();
    }
}
