//! What has been committed, here or elsewhere, and what the streams here have to know of it. Both ways lead through
//! [`Hub::apply`]: what is told by this instance is applied at once and handed to the bus, what others tell comes from it.

use tokio::sync::mpsc;

use super::fanout;
use super::hub::{Hub, lock};
use super::signal::{End, Wake};
use crate::bus::Hint;
use crate::model::{Effect, Entry, EphemeralEvent, Seq, SessionId, TopicId};
use crate::store::TopicKey;

impl Hub {
    /// Entries have been committed to a topic, in this order.
    pub fn appended(&self, key: TopicKey, topic: &TopicId, entries: Vec<Entry>) {
        if let Some(last) = entries.last().map(|entry| entry.seq) {
            self.tell(Hint::Appended { key, topic: topic.clone(), entries, last });
        }
    }

    /// Delivers what is stored nowhere to those who listen at this moment. It belongs behind the entry `after`.
    pub fn send_ephemeral(&self, key: TopicKey, after: Seq, what: EphemeralEvent) {
        self.tell(Hint::Ephemeral { key, after, what });
    }

    /// A session has joined or left something.
    pub fn joins_changed(&self, session: SessionId) {
        self.tell(Hint::Joins { session });
    }

    /// Somebody may have come to or gone from these topics.
    pub fn presence_changed(&self, topics: &[TopicKey]) {
        if !topics.is_empty() {
            self.tell(Hint::Presence { topics: topics.to_vec() });
        }
    }

    /// A topic's entries up to this one have been pruned: memory keeps them no longer than the database.
    pub fn pruned(&self, key: TopicKey, up_to: Seq) {
        self.tell(Hint::Pruned { key, up_to });
    }

    /// A session was signed out.
    pub fn session_ended(&self, session: SessionId) {
        self.tell(Hint::Ended { session });
    }

    /// Something has been committed here.
    pub(super) fn tell(&self, hint: Hint) {
        if self.inner.bus.is_local() {
            self.apply(hint);
        } else {
            self.apply(hint.clone());
            self.inner.bus.publish(hint);
        }
    }

    /// Applies what other instances tell, as it comes.
    pub(super) async fn hear(&self, mut hints: mpsc::Receiver<Hint>) {
        while let Some(hint) = hints.recv().await {
            self.apply(hint);
        }
        std::future::pending::<()>().await; // without a bus, nothing comes
    }

    /// Tells the streams here. That it was told before, or that something else was not, changes nothing but latency.
    fn apply(&self, hint: Hint) {
        match hint {
            Hint::Appended { key, topic, entries, last } => {
                self.apply_appended(key, entries, last);
                self.active(key, &topic, last);
            }
            Hint::Activity { key, topic, last } => self.active(key, &topic, last),
            Hint::Ephemeral { key, after, what } => {
                if let Some(topic) = self.hot(key) {
                    topic.add_ephemeral(after, what);
                }
            }
            Hint::Joins { session } => self.each_wake(session, Wake::joins_changed),
            Hint::Presence { topics } => {
                let hot = lock(&self.inner.topics);
                topics.iter().filter_map(|key| hot.get(key)).for_each(|topic| topic.presence.touch());
            }
            Hint::Ended { session } => self.each_wake(session, |wake| wake.end(End::SignedOut)),
            Hint::Opened { session, stream } => self.each_wake(session, |wake| wake.newer_opened(stream)),
            Hint::Pruned { key, up_to } => {
                self.inner.pages.forget(key);
                if let Some(topic) = self.hot(key) {
                    topic.forget(up_to);
                }
            }
            Hint::Lost => self.inner.compare.notify_one(),
        }
    }

    /// What follows is appended to the tail; what leaves something out is not, and readers find it in the log. Among what
    /// was left out may be a removal, so what was read before is not shown after it.
    fn apply_appended(&self, key: TopicKey, entries: Vec<Entry>, last: Seq) {
        if entries.iter().any(|entry| entry.effect == Effect::RedactsEarlier) {
            self.inner.pages.forget(key);
        }
        if let Some(topic) = self.hot(key) {
            if topic.append(entries) | topic.heard(last) {
                self.inner.pages.forget(key);
            }
            fanout::start(&topic);
        }
    }
}
