//! The lease of this instance: a row with an expiry that says that the instance is alive. Its streams count as open while
//! the lease runs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::closed::STREAMS_PER_TRANSACTION;
use super::hub::Hub;
use crate::model::StreamId;
use crate::store::StoreError;

/// The number of times that a lease is renewed before it would expire.
const RENEWALS_PER_LEASE: u32 = 3;
/// The time, besides one renewal, that other instances have to find a database that is back and renew their leases.
const RECOVERY_TIME: Duration = Duration::from_secs(3);
/// The time that a renewal waits for the database.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);

impl Hub {
    /// Takes this instance's lease, or renews it; the instance must serve nothing before it has one.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub(crate) async fn take_lease(&self) -> Result<(), StoreError> {
        let renewal = self.inner.store.renew_lease(self.inner.settings.instance, self.inner.settings.lease);
        let too_slow = |_| StoreError::Unavailable("the lease took too long".into());
        let until = timeout(RENEWAL_TIMEOUT, renewal).await.map_err(too_slow)??;
        self.inner.lease_until.store(until.0, Ordering::Release);
        Ok(())
    }

    /// Records the streams that have ended and gives the lease back.
    pub(super) async fn release_lease(&self) -> Result<(), StoreError> {
        self.close_streams(self.take_closed()).await?;
        self.inner.store.release_lease(self.inner.settings.instance, self.grace()).await
    }

    /// Returns true if this instance's lease has expired: it was suspended, or cut off from its database.
    pub(super) fn has_expired(&self) -> bool {
        self.inner.lease_until.load(Ordering::Acquire) < self.inner.store.now().0
    }

    /// Returns true while other instances count as alive whatever their leases say. This one has just recovered from an
    /// expired lease, and its cause, such as a database that was away, may have kept every instance from renewing.
    pub(super) fn trusts_others(&self) -> bool {
        self.inner.trust_until.load(Ordering::Acquire) > self.inner.store.now().0
    }

    /// Renews the lease regularly, and marks the sessions of instances whose leases have expired as offline.
    pub(super) async fn renew_lease(&self) {
        let renewal_interval = self.inner.settings.lease / RENEWALS_PER_LEASE;
        let mut ticks = interval(renewal_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let had_expired = self.has_expired();
            if let Err(error) = self.take_lease().await {
                tracing::warn!(%error, "the lease could not be renewed");
                continue;
            }
            if had_expired {
                let until = self.inner.store.now().plus(renewal_interval + RECOVERY_TIME);
                self.inner.trust_until.store(until.0, Ordering::Release);
                if let Err(error) = self.recover().await {
                    tracing::warn!(%error, "the lease had expired, and streams could not be asserted anew");
                    self.inner.lease_until.store(0, Ordering::Release); // retried at the next tick
                }
            }
            if self.trusts_others() {
                continue;
            }
            if let Err(error) = self.inner.store.expire_instances(self.inner.settings.instance, self.grace()).await {
                tracing::debug!(%error, "expired instances could not be removed");
            }
        }
    }

    /// Assigns the open streams to this instance again, where they are still the latest of their sessions, and has the
    /// presence of all active topics read again.
    async fn recover(&self) -> Result<(), StoreError> {
        let streams = self.open_streams().into_iter().map(|(session, signal)| (session, signal.stream_id()));
        let mut streams: Vec<_> = streams.filter(|(_, stream)| *stream != StreamId(0)).collect();
        streams.sort_unstable();
        for chunk in streams.chunks(STREAMS_PER_TRANSACTION) {
            self.inner.store.assert_streams(self.inner.settings.instance, chunk.to_vec()).await?;
        }
        // Other instances have shown these sessions as offline.
        self.presence_changed(&self.active_topics().iter().map(|topic| topic.key).collect::<Vec<_>>());
        Ok(())
    }
}
