//! Catching up: aligned pages of the log, read once for all who want the same one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore};

use super::topic::HotTopic;
use crate::model::{Entry, Message, Seq};
use crate::store::{Store, StoreError, TopicKey};

/// Entries in a page.
const SIZE: i64 = 64;
/// Pages that are kept for those who come next.
const KEPT: usize = 128;
/// What they may take together, in bytes of JSON.
const KEPT_BYTES: usize = 32 * 1024 * 1024;
/// And for how long.
const LIFE: Duration = Duration::from_secs(5);
/// Pages that are read at once: readers that catch up leave connections to everybody else.
const READS: usize = 3;
/// Those of one topic among them: one that the database is slow with leaves room to the others.
pub(super) const TOPIC_READS: usize = 2;

/// A stretch of the log.
#[derive(Debug)]
pub(super) struct Page {
    /// What is there, in order; what is missing was pruned.
    pub(super) entries: Vec<Entry>,
    /// The last number that the page speaks of.
    pub(super) end: Seq,
}

/// Which page, and up to which entry it has been written: the last page of a log grows.
type Key = (TopicKey, i64, Seq);

#[derive(Debug)]
struct CachedPage {
    page: Arc<OnceCell<Arc<Page>>>,
    since: Instant,
}

impl CachedPage {
    fn bytes(&self) -> usize {
        self.page.get().map_or(0, |page| page.entries.iter().map(|entry| entry.json.len()).sum())
    }
}

/// The pages that somebody wants at the moment.
#[derive(Debug)]
pub(super) struct Pages {
    cached: Mutex<HashMap<Key, CachedPage>>,
    reads: Semaphore,
}

impl Default for Pages {
    fn default() -> Self {
        Self { cached: Mutex::default(), reads: Semaphore::new(READS) }
    }
}

impl Pages {
    /// The page with the entry that follows `position`, in a log that has reached `last`.
    pub(super) async fn after(
        &self,
        store: &Store,
        topic: &HotTopic,
        position: Seq,
        last: Seq,
    ) -> Result<Arc<Page>, StoreError> {
        let (number, end) = place(position, last);
        let cell = self.cell((topic.key, number, end));
        let read = async || {
            let closed = |_| StoreError::Unavailable("closed".into());
            let _of_topic = topic.reads.acquire().await.map_err(closed)?;
            let _of_all = self.reads.acquire().await.map_err(closed)?;
            let messages = store.entries(topic.key, &topic.id, Seq(number * SIZE + 1), end).await?;
            Ok(Arc::new(Page { entries: messages.iter().map(Message::render).collect(), end }))
        };
        cell.get_or_try_init(read).await.cloned()
    }

    /// The same page, where it has been read.
    pub(super) fn ready(&self, topic: TopicKey, position: Seq, last: Seq) -> Option<Arc<Page>> {
        let (number, end) = place(position, last);
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).get(&(topic, number, end))?.page.get().cloned()
    }

    fn cell(&self, key: Key) -> Arc<OnceCell<Arc<Page>>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached_page) = cached.get(&key) {
            return cached_page.page.clone();
        }
        let mut bytes: usize = cached.values().map(CachedPage::bytes).sum();
        while cached.len() >= KEPT || bytes > KEPT_BYTES {
            let Some(oldest) = cached.iter().min_by_key(|(_, cached_page)| cached_page.since).map(|(key, _)| *key)
            else {
                break;
            };
            bytes -= cached.remove(&oldest).map_or(0, |cached_page| cached_page.bytes());
        }
        cached.entry(key).or_insert_with(|| CachedPage { page: Arc::default(), since: Instant::now() }).page.clone()
    }

    /// Forgets a topic's pages: some of its entries were pruned, or have lost their content.
    pub(super) fn forget(&self, topic: TopicKey) {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).retain(|(key, ..), _| *key != topic);
    }

    /// Forgets pages that nobody has asked for lately.
    pub(super) fn prune(&self) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.retain(|_, cached_page| cached_page.since.elapsed() < LIFE);
        cached.shrink_to_fit();
    }
}

/// The number of the page with the entry that follows `position`, and its last entry so far.
fn place(position: Seq, last: Seq) -> (i64, Seq) {
    let number = position.0 / SIZE;
    (number, Seq(((number + 1) * SIZE).min(last.0)))
}
