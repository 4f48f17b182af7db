//! Reporting new entries in direct messages that the session has not joined: only that they exist.

use std::time::Instant;

use super::state::Stream;
use crate::live::events::Activity;
use crate::live::signal::NewActivity;
use crate::model::message::to_json;

impl Stream {
    /// Writes `activity` for direct messages, each at most once per interval. While joins are still to be read, nothing is
    /// written: one of them may be of such a topic, and then its messages are written instead.
    pub(super) fn write_activity(&mut self, new: NewActivity) {
        self.activity.add(new, self.now);
        if self.activity.is_empty() || self.reload {
            return;
        }
        for topic in self.topics.values() {
            self.activity.remove(topic.active.key);
        }
        for (topic, last_seq) in self.activity.take_due(self.now, self.hub.inner.settings.presence_interval) {
            self.write_event("activity", false, &to_json(&Activity { topic: &topic, last_seq }));
        }
    }

    /// When the stream has to write `activity` next.
    pub(super) fn activity_due(&self) -> Option<Instant> {
        self.activity.next_due().filter(|_| !self.reload)
    }
}
