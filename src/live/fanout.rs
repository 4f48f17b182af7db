//! The fast path of delivery: one loop over all streams of a topic.
//!
//! Most streams are at rest when an entry comes: they have sent everything, and need nothing but that entry. To wake a
//! task for each of them costs about as much as the write itself, and for a thousand of them the caches are cold each
//! time. So the loop writes to their sockets itself. A stream that is not at rest, or needs anything else (a page of the
//! log, presence, an end), is woken and takes the plain path, `stream`. While the loop is at work more may come: it goes
//! out together, in fewer writes, the next time around.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::task::JoinSet;

use super::signal::Listener;
use super::topic::HotTopic;
use crate::model::{Effect, Entry, Seq};

/// The listeners of a topic, in the order of their numbers.
pub(super) type Listeners = Vec<(u64, Arc<Listener>)>;

/// What one write carries, in bytes, give or take an entry.
pub(super) const BATCH: usize = 16 * 1024;
/// So many streams are served in one go, before other tasks have their turn.
const GO: usize = 64;
/// So many streams are served by one task; where there are more, several share the work.
const SHARE: usize = 1024;

/// Entries that follow each other, on their way to all who listen.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// What stands before the first one.
    pub(super) after: Seq,
    pub(super) entries: Vec<Entry>,
    /// How many removals had been told by then.
    pub(super) removals: u64,
}

/// Takes what has been appended to a topic to its streams, in a task of its own.
pub(super) fn start(topic: &Arc<HotTopic>) {
    if topic.begin_fanout() {
        tokio::spawn(run(topic.clone()));
    }
}

/// However the loop ends, another may begin.
struct Loop(Arc<HotTopic>);

impl Drop for Loop {
    fn drop(&mut self) {
        self.0.end_fanout();
    }
}

async fn run(topic: Arc<HotTopic>) {
    let Loop(topic) = &Loop(topic);
    while let Some((listeners, batch)) = topic.next_batch() {
        if listeners.len() <= SHARE {
            serve(topic, &listeners, &batch).await;
            continue;
        }
        let (listeners, batch) = (Arc::new(listeners), Arc::new(batch));
        let mut shares = JoinSet::new();
        for from in (0..listeners.len()).step_by(SHARE) {
            let (topic, listeners, batch) = (topic.clone(), listeners.clone(), batch.clone());
            shares.spawn(async move {
                let to = listeners.len().min(from + SHARE);
                serve(&topic, &listeners[from..to], &batch).await;
            });
        }
        shares.join_all().await;
    }
}

async fn serve(topic: &HotTopic, listeners: &[(u64, Arc<Listener>)], batch: &Batch) {
    // Whom an entry ends, or what it removes, the plain path knows.
    let plain = batch.entries.is_empty() || batch.entries.iter().any(|entry| entry.effect != Effect::None);
    let mut scratch = BytesMut::new();
    for some in listeners.chunks(GO) {
        let now = Instant::now();
        // What was removed meanwhile is not shown after that: the log knows.
        let plain = plain || topic.removals() != batch.removals;
        for (_, listener) in some {
            if plain || !listener.serve(batch, &mut scratch, now) {
                listener.notice();
            }
        }
        tokio::task::yield_now().await;
    }
}
