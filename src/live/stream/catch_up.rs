//! Catching up: what the tail does not hold is read from the log, in pages.
//!
//! A page is read in a task of its own, which wakes the stream. A database that takes its time over one topic keeps the
//! stream from none of the others.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Stream;
use crate::live::hub::Hub;
use crate::live::pages::Page;
use crate::live::signal::Listener;
use crate::live::topic::HotTopic;
use crate::model::event_id::JoinNumber;
use crate::model::{Entry, Seq, TopicKind};
use crate::store::StoreError;

/// What one topic may add in its turn, in bytes, before the next one has its own.
pub(super) const TURN: usize = 8 * 1024;

/// A page that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    page: oneshot::Receiver<Result<Arc<Page>, StoreError>>,
    /// How many removals had been told when that began.
    removals: u64,
}

impl Reading {
    /// Begins to read the page behind `position`. The listener is told when it is there.
    fn begin(hub: &Hub, hot: &Arc<HotTopic>, listener: &Arc<Listener>, position: Seq, last: Seq) -> Self {
        let removals = hot.removals();
        let (read, page) = oneshot::channel();
        if let Some(ready) = hub.inner.pages.ready(hot.key, position, last) {
            let _ = read.send(Ok(ready));
            return Self { page, removals };
        }
        let (hub, hot, listener) = (hub.clone(), hot.clone(), listener.clone());
        tokio::spawn(async move {
            let page = hub.inner.pages.after(&hub.inner.store, &hot, position, last).await;
            let _ = read.send(page); // the stream may have gone
            listener.notice();
        });
        Self { page, removals }
    }
}

impl Stream {
    /// Shows a page of the log as soon as it is there; answers whether there is more. A poll waits for it, as it answers
    /// with what there is.
    pub(super) async fn catch_up(&mut self, join_number: JoinNumber, last: Seq) -> Result<bool, StoreError> {
        let waits = self.is_poll();
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(false);
        };
        let (hot, position) = (topic.hot.clone(), topic.place.position);
        let begin = || Reading::begin(&self.hub, &hot, &topic.listener, position, last);
        let mut reading = topic.reading.take().unwrap_or_else(begin);
        let read = match reading.page.try_recv() {
            Err(TryRecvError::Empty) if waits => reading.page.await.ok(),
            Err(TryRecvError::Empty) => {
                topic.reading = Some(reading);
                return Ok(false);
            }
            read => read.ok(),
        };
        let page = read.unwrap_or_else(|| Err(StoreError::Unavailable("reading was given up".into())))?;
        if hot.removals() != reading.removals {
            return Ok(true); // it may have been read before something was removed
        }
        let entries = &page.entries[page.entries.partition_point(|entry| entry.seq <= position)..];
        let Some(withheld) = self.withheld(join_number, entries).await? else {
            self.reload = true;
            return Ok(true);
        };
        let mut used = 0;
        for entry in entries {
            if used > TURN {
                return Ok(true);
            }
            used += entry.json.len();
            if self.say_pruned_before(join_number, entry.seq) {
                return Ok(true);
            }
            if withheld.contains(&entry.seq) {
                self.say_gap(join_number, entry.seq, false);
            } else if !self.say_entry(join_number, entry) {
                return Ok(!self.is_closed(join_number));
            }
        }
        self.say_pruned_before(join_number, page.end.next());
        Ok(true)
    }

    /// The log says of a message what it says now: which of these were edited after this user had lost the topic. `None`
    /// where the joins are to be read first: it is lost, and the end not known yet.
    async fn withheld(&self, join_number: JoinNumber, entries: &[Entry]) -> Result<Option<Vec<Seq>>, StoreError> {
        let edited = |entry: &&Entry| entry.edited;
        let (Some(topic), Some(first), Some(last)) = (
            self.topics.get(&join_number).filter(|topic| topic.hot.id.kind() == TopicKind::Group),
            entries.iter().find(edited),
            entries.iter().rfind(edited),
        ) else {
            return Ok(Some(Vec::new()));
        };
        let store = &self.hub.inner.store;
        if let Some(end) = topic.last {
            return store.edited_after(topic.hot.key, end, (first.seq, last.seq)).await.map(Some);
        }
        let joined = store.has_joined(self.session, topic.hot.key).await?;
        Ok(joined.then(Vec::new))
    }

    /// Entries that should stand before `next` and do not were pruned; answers whether there were such. One of them may
    /// have taken the topic from this user, so the joins are asked before anything else is shown.
    fn say_pruned_before(&mut self, join_number: JoinNumber, next: Seq) -> bool {
        let pruned = self.topics.get(&join_number).is_some_and(|topic| topic.place.position.next() < next);
        if pruned {
            self.say_gap(join_number, Seq(next.0 - 1), true);
            self.reload = true;
        }
        pruned
    }

    fn is_closed(&self, join_number: JoinNumber) -> bool {
        self.topics.get(&join_number).is_none_or(|topic| topic.closed)
    }
}
