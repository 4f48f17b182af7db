//! Writing events: each goes into the piece that leaves next, and moves the stream's positions.

use std::cell::RefCell;

use super::state::{JoinedTopic, Stream};
use crate::live::access;
use crate::live::events::{Bye, Gap, Left, Ready, ReadyTopic};
use crate::live::signal::End;
use crate::model::event_id::{JoinNumber, PresenceDigest};
use crate::model::message::to_json;
use crate::model::{Entry, Seq, TopicId};
use crate::store::OpenedStream;

/// The number of topics up to which a long poll's event id holds digests of presence. With more, digests would make ids too
/// long, and each poll begins with the whole lists.
const DIGEST_TOPICS: usize = 250;

/// The shortest `retry:`, in milliseconds.
const RETRY_MILLIS: u64 = 500;
/// The range of `retry:` above that when a stream opens, in milliseconds: clients that lose a server together reconnect at
/// different times.
const READY_SPREAD_MILLIS: u64 = 2_000;
/// The same for clients that are asked to reconnect, usually many at once.
const BYE_SPREAD_MILLIS: u64 = 4_500;

/// Memory to encode an event id in.
#[derive(Default)]
struct IdBuffers {
    scratch: Vec<u8>,
    id: Vec<u8>,
}

thread_local! {
    /// Shared by all streams of a thread, so that none keeps memory of its own.
    static ID_BUFFERS: RefCell<IdBuffers> = RefCell::default();
}

impl Stream {
    /// Writes an event. With an id, it names everything up to and including the event.
    pub(super) fn write_event(&mut self, name: &str, with_id: bool, data: &[u8]) {
        if !with_id {
            return self.encoder.event(name, b"", data);
        }
        ID_BUFFERS.with_borrow_mut(|IdBuffers { scratch, id }| {
            id.clear();
            self.positions.write_id(&self.digests(), scratch, id);
            self.encoder.event(name, id, data);
        });
    }

    pub(super) fn write_ready(&mut self, opened: &OpenedStream) {
        self.encoder.retry(self.jittered(RETRY_MILLIS, READY_SPREAD_MILLIS));
        if opened.resumed && self.is_poll() {
            return;
        }
        let topics = opened.joins.iter().map(|j| ReadyTopic { topic: &j.topic, position: j.position }).collect();
        let ready = to_json(&Ready { session_id: self.session, user_id: &self.user, topics });
        self.write_event("ready", true, &ready);
    }

    /// Writes an entry. Returns false if it is the last of its join: whether the topic was joined again, and the reason of
    /// the end, are in the joins, which are read next.
    pub(super) fn write_entry(&mut self, join_number: JoinNumber, entry: &Entry) -> bool {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return false;
        };
        topic.position.seq = topic.position.seq.max(entry.seq);
        topic.closed = access::ends_access(entry, &self.user, topic.join_end);
        let closed = topic.closed;
        self.reload |= closed;
        self.positions.set_sent_up_to(join_number, entry.seq);
        self.write_event("message", true, &entry.json);
        !closed
    }

    /// Writes that the entries up to `to_seq` are not sent.
    pub(super) fn write_gap(&mut self, join_number: JoinNumber, to_seq: Seq, pruned: bool) {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return;
        };
        let from_seq = topic.position.seq.next();
        topic.position.seq = to_seq;
        let data = to_json(&Gap { topic: &topic.active.id, from_seq, to_seq, pruned });
        self.positions.set_sent_up_to(join_number, to_seq);
        self.write_event("gap", true, &data);
    }

    pub(super) fn write_left(&mut self, join_number: JoinNumber, topic: &TopicId, reason: &'static str) {
        self.write_event("left", false, &to_json(&Left { topic, reason }));
        self.positions.set_end_sent(join_number);
    }

    /// Writes the end of the stream. Returns the event id of a stream that was replaced; empty for any other reason.
    pub(super) fn write_bye(&mut self, end: End) -> Vec<u8> {
        self.finished = true;
        if end.reconnect() {
            self.encoder.retry(self.jittered(RETRY_MILLIS, BYE_SPREAD_MILLIS));
        }
        let data = to_json(&Bye { reason: end.as_str(), reconnect: end.reconnect() });
        let mut id = Vec::new();
        if end == End::Replaced {
            self.positions.write_replaced(self.id, &mut id);
        }
        self.encoder.event("bye", &id, &data);
        id
    }

    /// The digests of presence in a long poll's event ids. The ids of an SSE stream hold none.
    pub(super) fn digests(&self) -> Vec<(JoinNumber, PresenceDigest)> {
        if !self.is_poll() || self.topics.len() > DIGEST_TOPICS {
            return Vec::new();
        }
        let digest =
            |(join_number, topic): (&JoinNumber, &JoinedTopic)| Some((*join_number, topic.shown.as_ref()?.digest()));
        self.topics.iter().filter_map(digest).collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a jitter is within 0.0..1.0")]
    fn jittered(&self, least: u64, spread: u64) -> u64 {
        least + (self.hub.inner.clock.jitter() * spread as f64) as u64
    }
}
