//! Reading a page of the log for a stream, in a task of its own, which notifies the stream. A database that is slow with one
//! topic delays the stream's other topics by nothing.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::live::hub::Hub;
use crate::live::listener::TopicListener;
use crate::live::page_cache::LogPage;
use crate::live::topic::ActiveTopic;
use crate::model::Seq;
use crate::store::StoreError;

/// A page that is being read.
#[derive(Debug)]
pub(super) struct PageRead {
    pub(super) page: oneshot::Receiver<Result<Arc<LogPage>, StoreError>>,
    /// The topic's count of redactions when the read began.
    pub(super) redactions: u64,
}

impl PageRead {
    /// Begins to read the page after `position`. The listener is notified when it is there.
    pub(super) fn begin(
        hub: &Hub,
        topic: &Arc<ActiveTopic>,
        listener: &Arc<TopicListener>,
        position: Seq,
        last: Seq,
    ) -> Self {
        let redactions = topic.redactions();
        let (sender, page) = oneshot::channel();
        if let Some(cached) = hub.inner.pages.cached_after(topic.key, position, last) {
            let _ = sender.send(Ok(cached)); // the receiver exists
            return Self { page, redactions };
        }
        let hub = hub.clone();
        let topic = topic.clone();
        let listener = listener.clone();
        tokio::spawn(async move {
            let page = hub.inner.pages.page_after(&hub.inner.store, &topic, position, last).await;
            let _ = sender.send(page); // the stream may have ended
            listener.notify();
        });
        Self { page, redactions }
    }
}
