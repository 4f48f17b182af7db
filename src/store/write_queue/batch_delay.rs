//! Decides how long a batch waits for more drafts (Kafka calls this linger).
//!
//! A commit costs several times as much as a message in it. Where many sessions send independently of each other, some
//! milliseconds bring several of their drafts together. Where a few sessions send again as soon as they get their answers,
//! no other draft comes meanwhile, and a delay would only slow them down. So only those arrivals count whose session has
//! not just got an answer.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use crate::model::SessionId;

/// The longest time that the first draft of a batch waits for others.
pub(super) const MAX_DELAY: Duration = Duration::from_millis(15);
/// A batch of so many drafts waits for no more: in it, a commit is a small part of what each draft costs.
pub(super) const TARGET_BATCH: usize = 10;
/// The rate of arrivals is measured over the latest so many.
const SAMPLE: usize = 8;
/// More drafts are expected if the latest [`SAMPLE`] arrived within this time: at that rate, six more arrive within
/// [`MAX_DELAY`].
const SAMPLE_PERIOD: Duration = Duration::from_millis(20);
/// A session that sends within this time of an answer, or up to twice of it, has waited for that answer.
const ANSWER_MEMORY: Duration = Duration::from_millis(10);

/// The latest arrivals of drafts, and the sessions that have just got an answer.
#[derive(Debug)]
pub(super) struct BatchDelay {
    /// The times of the latest arrivals from sessions that had not just got an answer.
    arrivals: VecDeque<Instant>,
    /// The sessions that got an answer since `rotated_at`.
    answered: HashSet<SessionId>,
    /// The sessions that got an answer in the period before that.
    answered_before: HashSet<SessionId>,
    rotated_at: Instant,
}

impl BatchDelay {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            arrivals: VecDeque::with_capacity(SAMPLE),
            answered: HashSet::new(),
            answered_before: HashSet::new(),
            rotated_at: now,
        }
    }

    /// Records that a draft of a session has arrived.
    pub(super) fn record_arrival(&mut self, session: SessionId, now: Instant) {
        self.rotate(now);
        if self.answered.contains(&session) || self.answered_before.contains(&session) {
            return;
        }
        if self.arrivals.len() == SAMPLE {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
    }

    /// Records that sessions have got the answers to their drafts.
    pub(super) fn record_answers(&mut self, sessions: impl IntoIterator<Item = SessionId>, now: Instant) {
        self.rotate(now);
        self.answered.extend(sessions);
    }

    /// Returns how long the first of `waiting` drafts is to wait for more.
    pub(super) fn linger(&self, waiting: usize, now: Instant) -> Duration {
        let worth_it = waiting < TARGET_BATCH && self.expects_more(now);
        if worth_it { MAX_DELAY } else { Duration::ZERO }
    }

    /// Reports whether more drafts are likely to arrive within [`MAX_DELAY`].
    fn expects_more(&self, now: Instant) -> bool {
        self.arrivals.len() == SAMPLE
            && self.arrivals.front().is_some_and(|&first| now.duration_since(first) <= SAMPLE_PERIOD)
    }

    /// Forgets old answers.
    fn rotate(&mut self, now: Instant) {
        let past = now.duration_since(self.rotated_at);
        if past < ANSWER_MEMORY {
            return;
        }
        mem::swap(&mut self.answered, &mut self.answered_before);
        self.answered.clear();
        if past >= ANSWER_MEMORY * 2 {
            self.answered_before.clear();
        }
        self.rotated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Records drafts of sessions by their number, each `gap` microseconds after the one before, and answered in between.
    fn record(delay: &mut BatchDelay, mut now: Instant, gap: u64, sessions: impl IntoIterator<Item = u128>) -> Instant {
        for session in sessions {
            now += Duration::from_micros(gap);
            let session = SessionId(Uuid::from_u128(session));
            delay.record_arrival(session, now);
            delay.record_answers([session], now + Duration::from_micros(gap / 2));
        }
        now
    }

    #[test]
    fn more_is_expected_where_independent_sessions_send_often() {
        let start = Instant::now();
        let mut delay = BatchDelay::new(start);
        let now = record(&mut delay, start, 2_000, 0..7);
        assert!(!delay.expects_more(now), "seven arrivals are too few to tell");
        let now = record(&mut delay, now, 2_000, 7..100);
        assert!(delay.expects_more(now));
        assert!(!delay.expects_more(now + SAMPLE_PERIOD), "nothing has arrived for a while");
        assert!(delay.answered.len() + delay.answered_before.len() <= 12);
        assert_eq!(delay.linger(TARGET_BATCH - 1, now), MAX_DELAY);
        assert_eq!(delay.linger(TARGET_BATCH, now), Duration::ZERO);
    }

    #[test]
    fn no_more_is_expected_where_independent_sessions_send_seldom() {
        let start = Instant::now();
        let mut delay = BatchDelay::new(start);
        let now = record(&mut delay, start, 4_000, 0..100);
        assert!(!delay.expects_more(now));
    }

    #[test]
    fn sessions_that_wait_for_their_answers_do_not_count_however_often_they_send() {
        let start = Instant::now();
        let mut delay = BatchDelay::new(start);
        let few = |count: u128| (0..1_000).map(move |nth| nth % count);
        let now = record(&mut delay, start, 300, few(1));
        assert!(!delay.expects_more(now));
        let now = record(&mut delay, now + SAMPLE_PERIOD, 50, few(16));
        assert!(!delay.expects_more(now));
        // The same sessions, each after a pause: they are as good as independent ones.
        let now = record(&mut delay, now + SAMPLE_PERIOD, 2_000, few(100));
        assert!(delay.expects_more(now));
    }
}
