//! An active topic: a topic that a stream on this instance listens to, with its in-memory state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::batch::{BATCH_BYTES, Batch};
use super::items::{Item, PendingEphemeral, TopicPosition, merge};
use super::listener::{Listeners, TopicListener};
use super::presence::TopicPresence;
use super::tail::Tail;
use crate::model::{Effect, Entry, EphemeralEvent, Seq, TopicId};
use crate::store::TopicKey;

/// The number of the latest ephemeral events that wait for readers at the end of the log.
const PENDING_EPHEMERAL: usize = 64;
/// The number of pages of one topic that are read at the same time, less than of all topics: a topic that the database is
/// slow with leaves room to the others.
const CONCURRENT_PAGE_READS: usize = 2;

/// The state of a topic on this instance.
#[derive(Debug)]
pub(super) struct ActiveTopic {
    pub(super) key: TopicKey,
    pub(super) id: TopicId,
    pub(super) presence: TopicPresence,
    /// Permits to read pages of the topic's log.
    pub(super) page_reads: Semaphore,
    // Not an async mutex: nothing is awaited while it is held, and it is held for the time to copy a few entries at most.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest entry known to be committed.
    last: Seq,
    /// The end of the log in the last regular comparison with the database.
    compared: Seq,
    /// True if `last` was read from the database since the topic became active. Until then `last` may be too low.
    synced: bool,
    tail: Tail,
    /// The number of redactions that were seen here, or may be among the entries that were not.
    redactions: u64,
    ephemeral: VecDeque<PendingEphemeral>,
    /// The number of ephemeral events so far.
    ephemeral_count: u64,
    /// Shared with the fan-out: a change copies them while it runs.
    listeners: Arc<Listeners>,
    /// The entry up to which the fan-out has notified the listeners.
    fanned_out: Seq,
    /// True while the fan-out runs.
    fanout_runs: bool,
    next_listener: u64,
    /// When the last listener left; `None` while there is one.
    idle_since: Option<Instant>,
}

/// The source that reported the end of a topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndSource {
    /// A hint, or the reader's own knowledge: the log has reached this entry at least.
    Hint,
    /// The database.
    Database,
    /// The regular comparison with the database. It counts only if no hint has come by the next comparison: the commit that
    /// it saw is usually about to be fanned out with its entries.
    Comparison,
}

/// The result of reading a topic from memory.
#[derive(Debug)]
pub(super) enum TopicRead {
    /// The items in their order, and true if there are more.
    Items(Vec<Item>, bool),
    /// The tail does not reach back to the position: the log has to be read, up to this entry.
    InLog(Seq),
}

impl ActiveTopic {
    pub(super) fn new(key: TopicKey, id: TopicId) -> Self {
        let state = State { idle_since: Some(Instant::now()), ..State::default() };
        let page_reads = Semaphore::new(CONCURRENT_PAGE_READS);
        Self { key, id, presence: TopicPresence::default(), page_reads, state: Mutex::new(state) }
    }

    /// Adds entries that were just committed; entries that are present already are skipped. Returns true if entries between
    /// them are missing here: readers find those in the log.
    pub(super) fn append(&self, entries: Vec<Entry>) -> bool {
        let mut state = self.state.lock();
        let mut has_gap = false;
        for entry in entries {
            if entry.effect == Effect::RedactsEarlier {
                state.redactions += 1;
                state.tail.clear(); // it holds the redacted content: streams that lag read the log
            }
            if entry.seq > state.last {
                let follows = state.last.next() == entry.seq;
                has_gap |= !follows;
                state.redactions += u64::from(!follows); // one may be among the missing entries
                state.last = entry.seq;
                state.tail.push(entry);
            }
        }
        if state.listeners.is_empty() {
            state.fanned_out = state.last;
        }
        has_gap
    }

    /// Returns true if there is something to fan out and no fan-out runs. The caller then runs it.
    pub(super) fn begin_fanout(&self) -> bool {
        let mut state = self.state.lock();
        let begins = !state.fanout_runs && state.fanned_out < state.last && !state.listeners.is_empty();
        state.fanout_runs |= begins;
        begins
    }

    /// Ends the fan-out. If it was interrupted, every listener is notified and reads for itself.
    pub(super) fn end_fanout(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.fanout_runs) {
            state.fanned_out = state.last;
            state.notify();
        }
    }

    /// The entries since the last batch, at most about [`BATCH_BYTES`], with the listeners. `None` ends the fan-out. A batch
    /// without entries reports entries that are not in memory.
    pub(super) fn next_batch(&self) -> Option<(Arc<Listeners>, Batch)> {
        let mut state = self.state.lock();
        state.fanout_runs = state.fanned_out < state.last && !state.listeners.is_empty();
        if !state.fanout_runs {
            return None;
        }
        let after = state.fanned_out;
        let mut entries = Vec::new();
        let mut used = 0;
        for entry in state.tail.after(after).into_iter().flatten() {
            used += entry.json.len();
            entries.push(entry.clone());
            if used >= BATCH_BYTES {
                break;
            }
        }
        state.fanned_out = entries.last().map_or(state.last, |entry| entry.seq);
        Some((state.listeners.clone(), Batch { after, entries, redactions: state.redactions }))
    }

    /// Records that the log has reached `seq`. Returns true if that was not known.
    pub(super) fn observe_end(&self, seq: Seq, source: EndSource) -> bool {
        let mut state = self.state.lock();
        let seq = match source {
            EndSource::Hint => return state.advance(seq),
            EndSource::Database => seq,
            EndSource::Comparison => std::mem::replace(&mut state.compared, seq),
        };
        state.synced = true;
        state.advance(seq)
    }

    /// Drops the entries up to this one, which were pruned.
    pub(super) fn drop_pruned(&self, up_to: Seq) {
        self.state.lock().tail.drop_up_to(up_to);
    }

    /// Delivers an ephemeral event to the streams that are at the end of the log now. The log has reached `follows` at
    /// least.
    pub(super) fn add_ephemeral(&self, follows: Seq, event: EphemeralEvent) {
        let mut state = self.state.lock();
        state.advance(follows);
        state.ephemeral_count += 1;
        if state.ephemeral.len() == PENDING_EPHEMERAL {
            state.ephemeral.pop_front();
        }
        let pending = PendingEphemeral { number: state.ephemeral_count, after: state.last, event };
        state.ephemeral.push_back(pending);
        state.notify();
    }

    /// Reads what stands after a position, at most about `budget` bytes, and moves the position.
    pub(super) fn read(&self, position: &mut TopicPosition, budget: usize) -> TopicRead {
        let state = self.state.lock();
        if position.seq > state.last {
            return TopicRead::Items(Vec::new(), false); // `last` is not synced yet
        }
        let lags = position.seq < state.last;
        if !lags && position.ephemeral == state.ephemeral_count {
            return TopicRead::Items(Vec::new(), false);
        }
        let entries = if lags { state.tail.after(position.seq) } else { Some(state.tail.none()) };
        let Some(entries) = entries else {
            // A stream that has to read the log has missed the ephemeral events, except those after the log's end.
            let missed = state.ephemeral.iter().rev().find(|ephemeral| ephemeral.after < state.last);
            position.ephemeral = missed.map_or(position.ephemeral, |missed| missed.number.max(position.ephemeral));
            return TopicRead::InLog(state.last);
        };
        let pending = state.ephemeral.iter().filter(|ephemeral| ephemeral.number > position.ephemeral);
        let (items, done) = merge(entries, pending.collect(), position, budget);
        if done {
            position.ephemeral = state.ephemeral_count;
        }
        TopicRead::Items(items, !done)
    }

    /// The number of redactions so far. What was read from the log at a lower number may hold redacted content.
    pub(super) fn redactions(&self) -> u64 {
        self.state.lock().redactions
    }

    /// The newest entry that is known; `None` until it was read from the database.
    pub(super) fn synced_end(&self) -> Option<Seq> {
        let state = self.state.lock();
        state.synced.then_some(state.last)
    }

    /// Adds a listener, which is notified of everything that comes from here on. Returns its number, and the number of
    /// the last ephemeral event.
    pub(super) fn add_listener(&self, listener: Arc<TopicListener>) -> (u64, u64) {
        let mut state = self.state.lock();
        let number = state.next_listener;
        state.next_listener += 1;
        Arc::make_mut(&mut state.listeners).push((number, listener));
        state.idle_since = None;
        (number, state.ephemeral_count)
    }

    /// Removes a listener.
    pub(super) fn remove_listener(&self, number: u64) {
        let mut state = self.state.lock();
        if let Ok(at) = state.listeners.binary_search_by_key(&number, |(number, _)| *number) {
            Arc::make_mut(&mut state.listeners).remove(at);
        }
        if state.listeners.is_empty() {
            state.listeners = Arc::default();
            state.idle_since.get_or_insert_with(Instant::now);
        }
    }

    /// Notifies every listener that a presence interval has brought a change.
    pub(super) fn notify_presence(&self) {
        self.state.lock().listeners.iter().for_each(|(_, listener)| listener.notify_presence());
    }

    /// When the last listener left; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state.lock().idle_since
    }

    /// The size of the tail, in bytes of JSON.
    pub(super) fn tail_bytes(&self) -> usize {
        self.state.lock().tail.bytes()
    }

    /// Frees the tail's memory: streams that need it read the log.
    pub(super) fn drop_tail(&self) {
        self.state.lock().tail.clear();
    }
}

impl State {
    /// Records that the log has reached this entry, whose content is not in memory: streams that lag read the log. Returns
    /// true if that was not known.
    fn advance(&mut self, last: Seq) -> bool {
        let news = last > self.last;
        if news {
            self.last = last;
            self.redactions += 1; // one may be among the entries that are not in memory
            self.tail.clear();
            self.fanned_out = last;
            self.notify();
        }
        news
    }

    fn notify(&self) {
        self.listeners.iter().for_each(|(_, listener)| listener.notify());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::signal::StreamSignal;
    use crate::model::event_id::JoinNumber;

    fn entry(seq: i64, effect: Effect) -> Entry {
        Entry { seq: Seq(seq), json: bytes::Bytes::from_static(b"{}"), effect, edited: false }
    }

    fn read(topic: &ActiveTopic, position: i64) -> Option<Vec<i64>> {
        let seq = |item: &Item| if let Item::Entry(entry) = item { entry.seq.0 } else { 0 };
        match topic.read(&mut TopicPosition { seq: Seq(position), ephemeral: 0 }, 1024) {
            TopicRead::Items(items, _) => Some(items.iter().map(seq).collect()),
            TopicRead::InLog(_) => None,
        }
    }

    #[test]
    fn what_was_there_before_a_redaction_is_shown_from_memory_no_more() {
        let topic = ActiveTopic::new(1, TopicId::stored("room:a"));
        topic.append((1..=4).map(|seq| entry(seq, Effect::None)).collect());
        assert_eq!(read(&topic, 0), Some(vec![1, 2, 3, 4]));
        topic.append(vec![entry(5, Effect::RedactsEarlier), entry(6, Effect::None)]);
        assert_eq!((read(&topic, 0), read(&topic, 3)), (None, None), "a stream that lags reads the log");
        assert_eq!(read(&topic, 4), Some(vec![5, 6]));
        assert_eq!(topic.redactions(), 1);
    }

    #[test]
    fn a_redaction_that_comes_late_or_twice_counts_all_the_same() {
        let topic = ActiveTopic::new(1, TopicId::stored("room:a"));
        topic.append(vec![entry(1, Effect::None), entry(2, Effect::None)]);
        topic.append(vec![entry(4, Effect::None)]);
        topic.append(vec![entry(3, Effect::RedactsEarlier)]);
        assert_eq!((read(&topic, 0), read(&topic, 2)), (None, None));
        topic.append(vec![entry(3, Effect::RedactsEarlier)]);
        assert_eq!(topic.redactions(), 3, "it came twice, and was skipped once");
        topic.append(vec![entry(5, Effect::None)]);
        assert_eq!(read(&topic, 4), Some(vec![5]));
    }

    #[test]
    fn a_fan_out_that_breaks_off_notifies_every_listener() {
        let topic = ActiveTopic::new(1, TopicId::stored("room:a"));
        topic.append(vec![entry(1, Effect::None)]);
        assert!(!topic.begin_fanout(), "there is no listener");
        let signal = Arc::new(StreamSignal::default());
        topic.add_listener(Arc::new(TopicListener::new(signal.clone(), JoinNumber(1))));
        assert!(!topic.begin_fanout(), "a new listener reads for itself what was there before");
        topic.append(vec![entry(2, Effect::None)]);
        assert!(topic.begin_fanout() && !topic.begin_fanout(), "one at a time");
        topic.end_fanout();
        assert!(signal.is_notified());
        topic.append(vec![entry(3, Effect::None), entry(4, Effect::None)]);
        assert!(topic.begin_fanout());
        let batch = topic.next_batch().map(|(listeners, batch)| (listeners.len(), batch.after.0, batch.entries.len()));
        assert_eq!(batch, Some((1, 2, 2)));
        assert!(topic.next_batch().is_none() && !topic.begin_fanout(), "everything is fanned out");
    }
}
