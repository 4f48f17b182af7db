//! Whether a draft is worth holding back until others come.
//!
//! A commit costs several times what a message in it costs. Where many who know nothing of each other send, some
//! milliseconds bring several of them together. Where few send as soon as they are answered, nobody else comes meanwhile:
//! to hold back would only slow them down. So only those count who have not just been answered.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use crate::model::SessionId;

/// How long a draft is held back at the longest.
pub(super) const HOLD: Duration = Duration::from_millis(15);
/// So many drafts are enough company: with them, a commit is a small part of what each of them costs.
pub(super) const ENOUGH: usize = 10;
/// Of so many who have come last is told how often somebody comes.
const LATEST: usize = 8;
/// Company is expected where so many came within this time: that makes six more while one is held back.
const WITHIN: Duration = Duration::from_millis(20);
/// Who was answered within this time, or up to twice of it, and sends again, has waited for the answer.
const ANSWERED: Duration = Duration::from_millis(10);

/// Who has come of late.
#[derive(Debug)]
pub(super) struct Company {
    /// When the latest came that had not just been answered.
    latest: VecDeque<Instant>,
    /// Who was answered since `turned`.
    answered: HashSet<SessionId>,
    /// Who was answered in the time before that.
    before: HashSet<SessionId>,
    turned: Instant,
}

impl Company {
    pub(super) fn new(now: Instant) -> Self {
        let (answered, before) = (HashSet::new(), HashSet::new());
        Self { latest: VecDeque::with_capacity(LATEST), answered, before, turned: now }
    }

    /// A draft has come.
    pub(super) fn came(&mut self, session: SessionId, now: Instant) {
        self.turn(now);
        if self.answered.contains(&session) || self.before.contains(&session) {
            return;
        }
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(now);
    }

    /// Those whose drafts have been written are answered.
    pub(super) fn answered(&mut self, sessions: impl IntoIterator<Item = SessionId>, now: Instant) {
        self.turn(now);
        self.answered.extend(sessions);
    }

    /// Whether more are likely to come while a draft is held back.
    pub(super) fn is_expected(&self, now: Instant) -> bool {
        self.latest.len() == LATEST && self.latest.front().is_some_and(|&first| now.duration_since(first) <= WITHIN)
    }

    fn turn(&mut self, now: Instant) {
        let past = now.duration_since(self.turned);
        if past < ANSWERED {
            return;
        }
        mem::swap(&mut self.answered, &mut self.before);
        self.answered.clear();
        if past >= ANSWERED * 2 {
            self.before.clear();
        }
        self.turned = now;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Drafts of sessions by their number, each so many microseconds after the one before.
    fn come(company: &mut Company, mut now: Instant, gap: u64, sessions: impl IntoIterator<Item = u128>) -> Instant {
        for session in sessions {
            now += Duration::from_micros(gap);
            let session = SessionId(Uuid::from_u128(session));
            company.came(session, now);
            company.answered([session], now + Duration::from_micros(gap / 2));
        }
        now
    }

    #[test]
    fn strangers_who_come_often_are_company() {
        let start = Instant::now();
        let mut company = Company::new(start);
        let now = come(&mut company, start, 2_000, 0..7);
        assert!(!company.is_expected(now), "seven tell nothing yet");
        let now = come(&mut company, now, 2_000, 7..100);
        assert!(company.is_expected(now));
        assert!(!company.is_expected(now + WITHIN), "nobody has come for a while");
        assert!(company.answered.len() + company.before.len() <= 12);
    }

    #[test]
    fn strangers_who_come_seldom_are_none() {
        let start = Instant::now();
        let mut company = Company::new(start);
        let now = come(&mut company, start, 4_000, 0..100);
        assert!(!company.is_expected(now));
    }

    #[test]
    fn who_waits_for_answers_is_no_company_however_often_they_come() {
        let start = Instant::now();
        let mut company = Company::new(start);
        let few = |count: u128| (0..1_000).map(move |nth| nth % count);
        let now = come(&mut company, start, 300, few(1));
        assert!(!company.is_expected(now));
        let now = come(&mut company, now + WITHIN, 50, few(16));
        assert!(!company.is_expected(now));
        // The same ones, each after a pause: they are as good as strangers.
        let now = come(&mut company, now + WITHIN, 2_000, few(100));
        assert!(company.is_expected(now));
    }
}
