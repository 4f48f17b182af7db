//! A client's state: a tally of messages, and a view of who is present.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stream::Event;
use super::{list, number, text};

/// Counts each topic's messages and fails on the first one that is doubled, missing or out of order.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    positions: BTreeMap<String, u64>,
}

impl Tally {
    /// Sets the position of a topic, from a join's response. The next message has the next number.
    pub(crate) fn starts(&mut self, topic: &str, position: u64) {
        self.positions.insert(topic.to_owned(), position);
    }

    /// Counts a message and returns true. Fails on a gap and an end; returns false for other events.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event.event.as_str() {
            "message" => self.message(text(&event.data, "topic"), number(&event.data, "seq")),
            "gap" | "left" | "bye" => panic!("not expected: {event:?}"),
            _ => return false,
        }
        true
    }

    pub(crate) fn message(&mut self, topic: &str, seq: u64) {
        let position = self.positions.get_mut(topic).unwrap_or_else(|| panic!("a message of {topic}, not joined"));
        assert_eq!(seq, *position + 1, "in {topic}, after {position}");
        *position = seq;
    }

    pub(crate) fn position(&self, topic: &str) -> u64 {
        self.positions[topic]
    }

    pub(crate) fn total(&self) -> u64 {
        self.positions.values().sum()
    }
}

/// The sessions that are present on one topic, as a client keeps them: the state, then the differences, as
/// sets of `session_id`.
#[derive(Default, Debug)]
pub(crate) struct PresenceView {
    pub(crate) present: BTreeSet<String>,
    /// True if the last event was `truncated`.
    pub(crate) truncated: bool,
    pub(crate) count: u64,
}

impl PresenceView {
    /// Applies an event of the topic. Returns true if it was about presence.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        let data = &event.data;
        match event.event.as_str() {
            "presence_state" => self.present = ids(data, "presences").collect(),
            "presence" if data["truncated"] == true => {}
            "presence" => {
                self.present.extend(ids(data, "joins"));
                for id in ids(data, "leaves") {
                    self.present.remove(&id);
                }
            }
            _ => return false,
        }
        self.truncated = data["truncated"] == true;
        self.count = number(data, "presence_count");
        if !self.truncated {
            let present = u64::try_from(self.present.len()).unwrap();
            assert_eq!(self.count, present, "the count is that of the list: {event:?} makes {self:?}");
        }
        true
    }
}

fn ids(data: &Value, member: &str) -> impl Iterator<Item = String> {
    list(data, member).iter().map(|presence| text(presence, "session_id").to_owned()).collect::<Vec<_>>().into_iter()
}
