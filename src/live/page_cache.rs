//! The page cache: aligned pages of the log for streams that catch up, read once for all that want the same page.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use super::topic::ActiveTopic;
use crate::model::{Entry, Message, Seq};
use crate::store::{Store, StoreError, TopicKey};

/// The number of entries in a page.
const PAGE_ENTRIES: i64 = 64;
/// The number of pages that are cached.
const CACHE_PAGES: usize = 128;
/// The size of all cached pages together, in bytes of JSON.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// The time for which a page is cached.
const PAGE_LIFETIME: Duration = Duration::from_secs(5);
/// The number of pages that are read at the same time: streams that catch up leave database connections to everybody else.
const CONCURRENT_READS: usize = 3;

/// A page of the log.
#[derive(Debug)]
pub(super) struct LogPage {
    /// The entries in their order; those that are missing were pruned.
    pub(super) entries: Vec<Entry>,
    /// The last number that the page covers.
    pub(super) end: Seq,
}

/// The topic, the number of the page, and the entry up to which it was written: the last page of a log grows.
type PageKey = (TopicKey, i64, Seq);

#[derive(Debug)]
struct CachedPage {
    page: Arc<OnceCell<Arc<LogPage>>>,
    since: Instant,
}

impl CachedPage {
    fn bytes(&self) -> usize {
        self.page.get().map_or(0, |page| page.entries.iter().map(|entry| entry.json.len()).sum())
    }
}

/// The pages that were read lately or are being read.
#[derive(Debug)]
pub(super) struct PageCache {
    // Not an async mutex: nothing is awaited while it is held.
    pages: Mutex<HashMap<PageKey, CachedPage>>,
    reads: Semaphore,
}

impl Default for PageCache {
    fn default() -> Self {
        Self { pages: Mutex::default(), reads: Semaphore::new(CONCURRENT_READS) }
    }
}

impl PageCache {
    /// Returns the page with the entry after `position` in a log that has reached `last`; reads it if it is not cached.
    pub(super) async fn page_after(
        &self,
        store: &Store,
        topic: &ActiveTopic,
        position: Seq,
        last: Seq,
    ) -> Result<Arc<LogPage>, StoreError> {
        let (number, end) = page_of(position, last);
        let cell = self.cell((topic.key, number, end));
        let read = async || {
            let closed = |_| StoreError::Unavailable("closed".into());
            let _of_topic = topic.page_reads.acquire().await.map_err(closed)?;
            let _of_all = self.reads.acquire().await.map_err(closed)?;
            let messages = store.entries(topic.key, &topic.id, Seq(number * PAGE_ENTRIES + 1), end).await?;
            Ok(Arc::new(LogPage { entries: messages.iter().map(Message::render).collect(), end }))
        };
        cell.get_or_try_init(read).await.cloned()
    }

    /// Returns the same page if it is cached.
    pub(super) fn cached_after(&self, topic: TopicKey, position: Seq, last: Seq) -> Option<Arc<LogPage>> {
        let (number, end) = page_of(position, last);
        self.pages.lock().get(&(topic, number, end))?.page.get().cloned()
    }

    fn cell(&self, key: PageKey) -> Arc<OnceCell<Arc<LogPage>>> {
        let mut pages = self.pages.lock();
        if let Some(cached) = pages.get(&key) {
            return cached.page.clone();
        }
        let mut bytes: usize = pages.values().map(CachedPage::bytes).sum();
        while pages.len() >= CACHE_PAGES || bytes > CACHE_BYTES {
            let Some(oldest) = pages.iter().min_by_key(|(_, cached)| cached.since).map(|(key, _)| *key) else {
                break;
            };
            bytes -= pages.remove(&oldest).map_or(0, |cached| cached.bytes());
        }
        pages.entry(key).or_insert_with(|| CachedPage { page: Arc::default(), since: Instant::now() }).page.clone()
    }

    /// Drops a topic's pages: some of its entries were pruned or redacted.
    pub(super) fn forget(&self, topic: TopicKey) {
        self.pages.lock().retain(|(key, ..), _| *key != topic);
    }

    /// Drops the pages whose time is over.
    pub(super) fn drop_expired(&self) {
        let mut pages = self.pages.lock();
        pages.retain(|_, cached| cached.since.elapsed() < PAGE_LIFETIME);
        pages.shrink_to_fit();
    }
}

/// The number of the page with the entry after `position`, and the last entry in it so far.
fn page_of(position: Seq, last: Seq) -> (i64, Seq) {
    let number = position.0 / PAGE_ENTRIES;
    (number, Seq(((number + 1) * PAGE_ENTRIES).min(last.0)))
}
