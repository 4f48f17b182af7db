//! The fan-out: the fast path of delivery, one loop over all streams of a topic.
//!
//! Most streams are parked when an entry comes: they have sent everything and need nothing but that entry. Waking a task
//! for each of them costs about as much as the write, and for a thousand of them the caches are cold each time. So the
//! loop writes to their sinks itself. A stream that is not parked, or needs anything else (a page of the log, presence,
//! an end), is notified and takes the general path in `stream`. Entries that come while the loop runs go out together, in
//! fewer writes, in its next round.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::task::JoinSet;

use super::access;
use super::batch::Batch;
use super::listener::TopicListener;
use super::topic::ActiveTopic;

/// The number of streams that a task writes to before it yields to other tasks.
const STREAMS_PER_YIELD: usize = 64;
/// The number of streams that one task writes to; more streams are shared among several tasks.
const STREAMS_PER_TASK: usize = 1024;

/// Delivers what has been appended to a topic to its streams, in a task of its own.
pub(super) fn start(topic: &Arc<ActiveTopic>) {
    if topic.begin_fanout() {
        tokio::spawn(run(topic.clone()));
    }
}

/// Ends the fan-out however its task ends, so that another one can begin.
struct EndOnDrop(Arc<ActiveTopic>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end_fanout();
    }
}

async fn run(topic: Arc<ActiveTopic>) {
    let EndOnDrop(topic) = &EndOnDrop(topic);
    while let Some((listeners, batch)) = topic.next_batch() {
        if listeners.len() <= STREAMS_PER_TASK {
            deliver(topic, &listeners, &batch).await;
            continue;
        }
        let batch = Arc::new(batch);
        let mut tasks = JoinSet::new();
        for from in (0..listeners.len()).step_by(STREAMS_PER_TASK) {
            let topic = topic.clone();
            let listeners = listeners.clone();
            let batch = batch.clone();
            tasks.spawn(async move {
                let to = listeners.len().min(from + STREAMS_PER_TASK);
                deliver(&topic, &listeners[from..to], &batch).await;
            });
        }
        tasks.join_all().await;
    }
}

async fn deliver(topic: &ActiveTopic, listeners: &[(u64, Arc<TopicListener>)], batch: &Batch) {
    let mut scratch = BytesMut::new();
    for group in listeners.chunks(STREAMS_PER_YIELD) {
        let now = Instant::now();
        let direct = access::may_fan_out(topic, batch);
        for (_, listener) in group {
            if !direct || !listener.write_batch(batch, &mut scratch, now) {
                listener.notify();
            }
        }
        tokio::task::yield_now().await;
    }
}
