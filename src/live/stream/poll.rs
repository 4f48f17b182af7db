//! The stream as a long poll: opened, read until something has come, closed.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::state::Stream;

/// The bytes after which an answer takes no further turn of a topic.
const ANSWER_BYTES: usize = 256 * 1024;

/// The answer of a long poll.
#[derive(Debug)]
pub(crate) struct PollAnswer {
    /// The events: items of a JSON array, without the brackets.
    pub events: Bytes,
    /// The event id from which the next poll continues.
    pub last_event_id: String,
}

impl Stream {
    /// Returns what is ready. Where nothing is, it waits for what comes first, at most for `wait`.
    pub(crate) async fn poll(mut self, wait: Duration) -> PollAnswer {
        let until = Instant::now() + wait;
        let replaced_id = loop {
            if let Some(end) = self.take_signals().await {
                break self.write_bye(end);
            }
            self.gather(ANSWER_BYTES).await;
            if !self.encoder.is_empty() || Instant::now() >= until {
                break Vec::new();
            }
            self.wait(Some(until)).await;
        };
        let mut id = replaced_id;
        if id.is_empty() {
            self.shorten_ids().await;
            self.positions.write_id(&self.digests(), &mut Vec::new(), &mut id);
        }
        PollAnswer { events: self.encoder.take(), last_event_id: String::from_utf8(id).unwrap_or_default() }
    }
}
