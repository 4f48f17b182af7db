//! A topic that somebody on this instance listens to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::fanout::{BATCH, Batch, Listeners};
use super::pages::TOPIC_READS;
use super::presence::Track;
use super::signal::Listener;
use super::tail::Tail;
use crate::model::{Effect, Entry, EphemeralEvent, Seq, TopicId};
use crate::store::TopicKey;

/// So many of the latest ephemeral messages wait for readers that are at the end.
const EPHEMERAL: usize = 64;

/// The topic's live state on this instance.
#[derive(Debug)]
pub(super) struct HotTopic {
    pub(super) key: TopicKey,
    pub(super) id: TopicId,
    pub(super) presence: Track,
    /// Who reads pages of its log.
    pub(super) reads: Semaphore,
    // Not an async mutex: nothing is awaited while it is held, and it is held for a few entries' copying at most.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest entry known to be committed.
    last: Seq,
    /// How far the log had come when it was compared last.
    expected: Seq,
    /// Whether `last` has been read from the database since the topic became hot. Until then it may be behind.
    synced: bool,
    tail: Tail,
    /// How many removals have been told, or may be among what was not.
    removals: u64,
    ephemeral: VecDeque<PendingEphemeral>,
    /// How many ephemeral messages there have been.
    ephemeral_count: u64,
    /// Shared with the loop that serves them: a change copies them while that is at work.
    listeners: Arc<Listeners>,
    /// The entry up to which they have been told.
    told: Seq,
    /// Whether that loop is at work.
    fanning: bool,
    next_listener: u64,
    /// Since when nobody has listened.
    deserted: Option<Instant>,
}

/// What has no number: it belongs behind the entry that was the last when it came.
#[derive(Clone, Debug)]
struct PendingEphemeral {
    nth: u64,
    after: Seq,
    what: EphemeralEvent,
}

/// What a reader finds behind its position.
#[derive(Debug)]
pub(super) enum Found {
    /// These, in order, and whether there is more.
    Items(Vec<Item>, bool),
    /// The tail does not reach back that far: the log has to be read, up to this entry.
    Behind(Seq),
}

/// What a stream sends of a topic.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// An entry of the log.
    Entry(Entry),
    /// What is stored nowhere.
    Ephemeral(EphemeralEvent),
}

/// A reader's place in a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The last entry that was sent.
    pub(super) position: Seq,
    /// How many ephemeral messages are behind it.
    pub(super) ephemeral: u64,
}

impl HotTopic {
    pub(super) fn new(key: TopicKey, id: TopicId) -> Self {
        let state = State { deserted: Some(Instant::now()), ..State::default() };
        let reads = Semaphore::new(TOPIC_READS);
        Self { key, id, presence: Track::default(), reads, state: Mutex::new(state) }
    }

    /// Takes entries that were just committed and wakes the listeners. What is known already is passed over. Answers
    /// whether some in between are not known: readers find them in the log.
    pub(super) fn append(&self, entries: Vec<Entry>) -> bool {
        let mut state = self.lock();
        let mut skips = false;
        for entry in entries {
            if entry.effect == Effect::RedactsEarlier {
                state.removals += 1;
                state.tail.clear(); // it holds what was removed: who lags reads the log
            }
            if entry.seq > state.last {
                skips |= state.last.next() != entry.seq;
                state.removals += u64::from(state.last.next() != entry.seq); // there may be one among what is skipped
                state.last = entry.seq;
                state.tail.push(entry);
            }
        }
        if state.listeners.is_empty() {
            state.told = state.last;
        }
        skips
    }

    /// Whether there is something to be taken to listeners, and nobody who does so: then somebody does from here on.
    pub(super) fn begin_fanout(&self) -> bool {
        let mut state = self.lock();
        let begins = !state.fanning && state.told < state.last && !state.listeners.is_empty();
        state.fanning |= begins;
        begins
    }

    /// The fan-out has ended. Where it broke off, whoever listens looks by themselves.
    pub(super) fn end_fanout(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.fanning) {
            state.told = state.last;
            state.wake();
        }
    }

    /// What has come since the last batch, at most about [`BATCH`] bytes of it, and for whom; `None` ends the fan-out. A batch without
    /// entries says that something has come which is not at hand.
    pub(super) fn next_batch(&self) -> Option<(Arc<Listeners>, Batch)> {
        let mut state = self.lock();
        state.fanning = state.told < state.last && !state.listeners.is_empty();
        if !state.fanning {
            return None;
        }
        let (after, mut used, mut entries) = (state.told, 0, Vec::new());
        for entry in state.tail.after(after).into_iter().flatten() {
            used += entry.json.len();
            entries.push(entry.clone());
            if used >= BATCH {
                break;
            }
        }
        state.told = entries.last().map_or(state.last, |entry| entry.seq);
        Some((state.listeners.clone(), Batch { after, entries, removals: state.removals }))
    }

    /// Learns from the database that the log has reached this entry; answers whether that is news.
    pub(super) fn reached(&self, last: Seq) -> bool {
        let mut state = self.lock();
        state.synced = true;
        state.advance(last)
    }

    /// Learns from a hint that the log has reached this entry, and perhaps more; answers whether that is news.
    pub(super) fn heard(&self, last: Seq) -> bool {
        self.lock().advance(last)
    }

    /// Learns that the log has reached this entry, without haste: it counts if nothing has told of it until next time.
    /// Answers whether it does.
    pub(super) fn expect(&self, last: Seq) -> bool {
        let expected = std::mem::replace(&mut self.lock().expected, last);
        self.reached(expected)
    }

    /// Forgets what was pruned: everything up to this entry.
    pub(super) fn forget(&self, pruned: Seq) {
        self.lock().tail.drop_up_to(pruned);
    }

    /// Delivers to those who are at the end of the log now. That has reached `follows` at least.
    pub(super) fn add_ephemeral(&self, follows: Seq, what: EphemeralEvent) {
        let mut state = self.lock();
        state.advance(follows);
        state.ephemeral_count += 1;
        let (nth, after) = (state.ephemeral_count, state.last);
        if state.ephemeral.len() == EPHEMERAL {
            state.ephemeral.pop_front();
        }
        state.ephemeral.push_back(PendingEphemeral { nth, after, what });
        state.wake();
    }

    /// What lies behind a reader's place, at most about `budget` bytes of it; moves the place.
    pub(super) fn read(&self, place: &mut Place, budget: usize) -> Found {
        let state = self.lock();
        if place.position > state.last {
            return Found::Items(Vec::new(), false); // `last` is not known yet
        }
        if place.position == state.last && place.ephemeral == state.ephemeral_count {
            return Found::Items(Vec::new(), false);
        }
        let behind = place.position < state.last;
        let Some(entries) = state.tail.after(place.position).or_else(|| (!behind).then(|| state.tail.nothing())) else {
            // Whoever has to read the log has missed what was sent as ephemeral meanwhile, but for what belongs behind its end.
            let missed = state.ephemeral.iter().rev().find(|e| e.after < state.last).map(|e| e.nth);
            place.ephemeral = missed.map_or(place.ephemeral, |nth| nth.max(place.ephemeral));
            return Found::Behind(state.last);
        };
        let pending = state.ephemeral.iter().filter(|e| e.nth > place.ephemeral);
        let (items, done) = merge(entries, pending.collect(), place, budget);
        if done {
            place.ephemeral = state.ephemeral_count;
        }
        Found::Items(items, !done)
    }

    /// How many removals have been told: what was read from the log before one of them is not to be shown after it.
    pub(super) fn removals(&self) -> u64 {
        self.lock().removals
    }

    /// The newest entry that is known; `None` while nobody has asked the database.
    pub(super) fn known(&self) -> Option<Seq> {
        let state = self.lock();
        state.synced.then_some(state.last)
    }

    /// Whether the newest entry is known for certain.
    pub(super) fn synced(&self) -> bool {
        self.known().is_some()
    }

    /// Adds a listener; it hears of everything that comes from here on. Answers its number and the count of pending.
    pub(super) fn listen(&self, listener: Arc<Listener>) -> (u64, u64) {
        let mut state = self.lock();
        let number = state.next_listener;
        state.next_listener += 1;
        Arc::make_mut(&mut state.listeners).push((number, listener));
        state.deserted = None;
        (number, state.ephemeral_count)
    }

    /// Removes a listener.
    pub(super) fn unlisten(&self, number: u64) {
        let mut state = self.lock();
        if let Ok(at) = state.listeners.binary_search_by_key(&number, |(number, _)| *number) {
            Arc::make_mut(&mut state.listeners).remove(at);
        }
        if state.listeners.is_empty() {
            state.listeners = Arc::default();
            state.deserted.get_or_insert_with(Instant::now);
        }
    }

    /// Tells every listener that a presence interval has brought a change.
    pub(super) fn wake_for_presence(&self) {
        self.lock().listeners.iter().for_each(|(_, listener)| listener.notice_presence());
    }

    /// Since when nobody has listened; `None` while somebody does.
    pub(super) fn deserted(&self) -> Option<Instant> {
        self.lock().deserted
    }

    /// What the tail takes, in bytes.
    pub(super) fn tail_bytes(&self) -> usize {
        self.lock().tail.bytes()
    }

    /// Gives the tail's memory back: readers that need it read the log.
    pub(super) fn drop_tail(&self) {
        self.lock().tail.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The log has reached this entry, whose content is not known here: who lags reads the log.
    fn advance(&mut self, last: Seq) -> bool {
        let news = last > self.last;
        if news {
            self.last = last;
            self.removals += 1; // there may be one among what is not known
            self.tail.clear();
            self.told = last;
            self.wake();
        }
        news
    }

    fn wake(&self) {
        self.listeners.iter().for_each(|(_, listener)| listener.notice());
    }
}

/// Entries and pending in their order; stops once `budget` is used up. Answers whether all of it went in.
fn merge<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    pending: Vec<&PendingEphemeral>,
    place: &mut Place,
    budget: usize,
) -> (Vec<Item>, bool) {
    let mut items = Vec::new();
    let mut used = 0;
    let mut pending = pending.into_iter().peekable();
    for entry in entries {
        while let Some(ephemeral) = pending.next_if(|w| w.after < entry.seq) {
            place.ephemeral = ephemeral.nth;
            // One that belongs behind an entry that this reader had not got at the time was missed by lagging.
            if ephemeral.after >= place.position {
                used += ephemeral.what.json().len();
                items.push(Item::Ephemeral(ephemeral.what.clone()));
            }
        }
        if used >= budget {
            return (items, false);
        }
        used += entry.json.len();
        place.position = entry.seq;
        items.push(Item::Entry(entry.clone()));
    }
    items.extend(pending.map(|ephemeral| Item::Ephemeral(ephemeral.what.clone())));
    (items, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::signal::Wake;
    use crate::model::event_id::JoinNumber;

    fn entry(seq: i64, effect: Effect) -> Entry {
        Entry { seq: Seq(seq), json: bytes::Bytes::from_static(b"{}"), effect, edited: false }
    }

    fn read(topic: &HotTopic, position: i64) -> Option<Vec<i64>> {
        let seq = |item: &Item| if let Item::Entry(entry) = item { entry.seq.0 } else { 0 };
        match topic.read(&mut Place { position: Seq(position), ephemeral: 0 }, 1024) {
            Found::Items(items, _) => Some(items.iter().map(seq).collect()),
            Found::Behind(_) => None,
        }
    }

    #[test]
    fn what_was_there_before_a_removal_is_shown_from_memory_no_more() {
        let topic = HotTopic::new(1, TopicId::stored("room:a"));
        topic.append((1..=4).map(|seq| entry(seq, Effect::None)).collect());
        assert_eq!(read(&topic, 0), Some(vec![1, 2, 3, 4]));
        topic.append(vec![entry(5, Effect::RedactsEarlier), entry(6, Effect::None)]);
        assert_eq!((read(&topic, 0), read(&topic, 3)), (None, None), "who lags reads the log");
        assert_eq!(read(&topic, 4), Some(vec![5, 6]));
        assert_eq!(topic.removals(), 1);
    }

    #[test]
    fn a_removal_that_is_told_late_or_twice_counts_all_the_same() {
        let topic = HotTopic::new(1, TopicId::stored("room:a"));
        topic.append(vec![entry(1, Effect::None), entry(2, Effect::None)]);
        topic.append(vec![entry(4, Effect::None)]);
        topic.append(vec![entry(3, Effect::RedactsEarlier)]);
        assert_eq!((read(&topic, 0), read(&topic, 2)), (None, None));
        topic.append(vec![entry(3, Effect::RedactsEarlier)]);
        assert_eq!(topic.removals(), 3, "twice told, and once skipped");
        topic.append(vec![entry(5, Effect::None)]);
        assert_eq!(read(&topic, 4), Some(vec![5]));
    }

    #[test]
    fn a_fan_out_that_breaks_off_leaves_nobody_behind() {
        let topic = HotTopic::new(1, TopicId::stored("room:a"));
        topic.append(vec![entry(1, Effect::None)]);
        assert!(!topic.begin_fanout(), "nobody listens");
        let wake = Arc::new(Wake::default());
        topic.listen(Arc::new(Listener::new(wake.clone(), JoinNumber(1))));
        assert!(!topic.begin_fanout(), "who comes finds what was there before");
        topic.append(vec![entry(2, Effect::None)]);
        assert!(topic.begin_fanout() && !topic.begin_fanout(), "one at a time");
        topic.end_fanout();
        assert!(wake.has_rung());
        topic.append(vec![entry(3, Effect::None), entry(4, Effect::None)]);
        assert!(topic.begin_fanout());
        let batch = topic.next_batch().map(|(listeners, batch)| (listeners.len(), batch.after.0, batch.entries.len()));
        assert_eq!(batch, Some((1, 2, 2)));
        assert!(topic.next_batch().is_none() && !topic.begin_fanout(), "all of it is on its way");
    }
}
