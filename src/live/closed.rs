//! Closed streams: recording in the database which streams have ended here.

use std::time::Duration;

use tokio::time::sleep;

use super::hub::{ClosedStream, Hub};
use crate::store::StoreError;

/// The number of streams whose end, or opening, is recorded in one transaction.
pub(super) const STREAMS_PER_TRANSACTION: usize = 256;
/// The time for which a failed transaction is not retried.
const RETRY_DELAY: Duration = Duration::from_secs(1);

impl Hub {
    /// Records the streams that end, as they do.
    pub(super) async fn record_closed(&self) {
        loop {
            self.inner.stream_closed.notified().await;
            let closed = self.take_closed();
            if let Err(error) = self.close_streams(closed).await {
                tracing::debug!(%error, "ended streams could not be recorded yet");
                sleep(RETRY_DELAY).await;
                self.inner.stream_closed.notify_one();
            }
        }
    }

    /// Records the end of these streams. The streams that remain after an error are put back.
    pub(super) async fn close_streams(&self, mut closed: Vec<ClosedStream>) -> Result<(), StoreError> {
        while !closed.is_empty() {
            let batch = closed.split_off(closed.len().saturating_sub(STREAMS_PER_TRANSACTION));
            let mut streams: Vec<_> = batch.iter().map(|closed| (closed.session, closed.stream)).collect();
            streams.sort_unstable(); // every transaction that locks several sessions does so in this order
            match self.inner.store.close_streams(streams, self.grace()).await {
                // Nobody is offline yet; but the grace period begins, and views have to include when it ends.
                Ok(topics) => self.presence_changed(&topics),
                Err(error) => {
                    closed.extend(batch);
                    self.put_back_closed(closed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
