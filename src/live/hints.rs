//! Hints: what has been committed, on this instance or another, and which streams here have to be notified of it. Both go
//! through `Hub::apply`: a hint of this instance is applied at once and published on the bus; hints of others come from
//! the bus.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::fanout;
use super::hub::Hub;
use super::signal::{End, StreamSignal};
use super::topic::{ActiveTopic, EndSource};
use crate::bus::Hint;
use crate::model::{Effect, Entry, EphemeralEvent, Millis, Presence, Seq, SessionId, StreamId, TopicId};
use crate::store::TopicKey;

impl Hub {
    /// Entries have been committed to a topic, in this order.
    pub(crate) fn appended(&self, key: TopicKey, topic: &TopicId, entries: Vec<Entry>) {
        if let Some(last) = entries.last().map(|entry| entry.seq) {
            self.send(Hint::Appended { key, topic: topic.clone(), entries, last });
        }
    }

    /// Delivers an ephemeral event to the streams that listen to the topic at this moment. It stands after the entry
    /// `after`.
    pub(crate) fn send_ephemeral(&self, key: TopicKey, after: Seq, what: EphemeralEvent) {
        self.send(Hint::Ephemeral { key, after, what });
    }

    /// A session has joined or left topics.
    pub(crate) fn joins_changed(&self, session: SessionId) {
        self.send(Hint::Joins { session });
    }

    /// The presence of these topics may have changed.
    pub(crate) fn presence_changed(&self, topics: &[TopicKey]) {
        if !topics.is_empty() {
            self.send(Hint::Presence { topics: topics.to_vec() });
        }
    }

    /// A session has joined a topic, in a transaction that began at `since`, and stays online there until `until` at least.
    pub(crate) fn session_appeared(&self, key: TopicKey, session: &Presence, until: Millis, since: Instant) {
        let now = self.inner.store.now();
        let limit = self.inner.settings.presence_list;
        let add = |topic: Arc<ActiveTopic>| topic.presence.add(session, until, since, now, limit);
        if !self.is_alone() || !self.active_topic(key).is_some_and(add) {
            self.presence_changed(&[key]);
        }
    }

    /// The entries of a topic up to this one have been pruned: memory keeps them no longer than the database does.
    pub(crate) fn pruned(&self, key: TopicKey, up_to: Seq) {
        self.send(Hint::Pruned { key, up_to });
    }

    /// A session was ended.
    pub(crate) fn session_ended(&self, session: SessionId) {
        self.send(Hint::Ended { session });
    }

    /// A session has opened this stream: its older streams are replaced, and this one is where there is a newer.
    pub(super) fn stream_opened(&self, session: SessionId, signal: &StreamSignal, stream: StreamId) {
        signal.set_stream_id(stream);
        self.send(Hint::Opened { session, stream });
    }

    /// Applies a hint of this instance and publishes it.
    fn send(&self, hint: Hint) {
        if self.inner.bus.is_local() {
            self.apply(hint);
        } else {
            self.apply(hint.clone());
            self.inner.bus.publish(hint);
        }
    }

    /// Applies the hints of other instances as they come.
    pub(super) async fn receive_hints(&self, mut hints: mpsc::Receiver<Hint>) {
        while let Some(hint) = hints.recv().await {
            self.apply(hint);
        }
        std::future::pending::<()>().await; // without a bus, no hints come
    }

    /// Notifies the streams here. A hint that comes twice, or that is lost, changes nothing but latency.
    fn apply(&self, hint: Hint) {
        match hint {
            Hint::Appended { key, topic, entries, last } => {
                self.apply_appended(key, entries, last);
                self.report_activity(key, &topic, last);
            }
            Hint::Activity { key, topic, last } => self.report_activity(key, &topic, last),
            Hint::Ephemeral { key, after, what } => {
                if let Some(topic) = self.active_topic(key) {
                    topic.add_ephemeral(after, what);
                }
            }
            Hint::Joins { session } => self.for_each_stream(session, StreamSignal::joins_changed),
            Hint::Presence { topics } => {
                let active = self.inner.topics.lock();
                topics.iter().filter_map(|key| active.get(key)).for_each(|topic| topic.presence.invalidate());
            }
            Hint::Ended { session } => self.for_each_stream(session, |signal| signal.end(End::SignedOut)),
            Hint::Opened { session, stream } => self.for_each_stream(session, |signal| signal.newer_opened(stream)),
            Hint::Pruned { key, up_to } => {
                self.inner.pages.forget(key);
                if let Some(topic) = self.active_topic(key) {
                    topic.drop_pruned(up_to);
                }
            }
            Hint::Lost => self.inner.hints_lost.notify_one(),
        }
    }

    /// Appends entries to the tail where they follow it; streams find entries that are missing between them in the log. A
    /// missing entry may redact, so pages that were read before are dropped.
    fn apply_appended(&self, key: TopicKey, entries: Vec<Entry>, last: Seq) {
        if entries.iter().any(|entry| entry.effect == Effect::RedactsEarlier) {
            self.inner.pages.forget(key);
        }
        if let Some(topic) = self.active_topic(key) {
            let has_gap = topic.append(entries);
            let was_unknown = topic.observe_end(last, EndSource::Hint);
            if has_gap || was_unknown {
                self.inner.pages.forget(key);
            }
            fanout::start(&topic);
        }
    }
}
