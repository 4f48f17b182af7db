//! The stream as a long poll: opened, read until something has come, closed.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Stream;

/// What one answer carries at most, in bytes, give or take a turn.
const ANSWER: usize = 256 * 1024;

/// A long poll's answer.
#[derive(Debug)]
pub struct Answer {
    /// The events: items of a JSON array, without the brackets.
    pub events: Bytes,
    /// Where the next poll goes on.
    pub last_event_id: String,
}

impl Stream {
    /// What is ready; where nothing is, whatever comes first within `wait`.
    pub async fn poll(mut self, wait: Duration) -> Answer {
        let (until, mut replaced) = (Instant::now() + wait, Vec::new());
        loop {
            if let Some(end) = self.hear().await {
                replaced = self.say_bye(end);
                break;
            }
            self.fill(ANSWER).await;
            if !self.frames.is_empty() || Instant::now() >= until {
                break;
            }
            self.wait(Some(until)).await;
        }
        let last_event_id = if !replaced.is_empty() {
            replaced
        } else {
            self.shorten_ids().await;
            let (digests, mut id) = (self.digests(), Vec::new());
            self.positions.write_id(&digests, &mut Vec::new(), &mut id);
            id
        };
        let last_event_id = String::from_utf8(last_event_id).unwrap_or_default();
        Answer { events: self.frames.take(), last_event_id }
    }
}
