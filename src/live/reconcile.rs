//! Reconciling: comparing memory with the database for what no hint reported, and dropping what memory needs no longer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::hub::{ClosedStream, Hub};
use super::signal::End;
use super::topic::{ActiveTopic, EndSource};
use crate::bus::Interest;
use crate::model::{SessionId, StreamId};
use crate::store::StoreError;

/// The interval at which active topics and open streams are compared with the database.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(5);
/// The same while the bus is away.
const BUS_AWAY_INTERVAL: Duration = Duration::from_millis(500);
/// The delay of a comparison after hints were lost; further losses within it are covered by the same comparison.
const LOST_HINTS_DELAY: Duration = Duration::from_millis(100);
/// The number of regular comparisons in which the presence of every active topic and the direct messages of every user are
/// read once, whatever hints have reported.
const TURNS: u64 = 4;
/// One of so many urgent comparisons reads presence and direct messages, of all topics and users.
const URGENT_ROUNDS_PER_FULL: u64 = 4;
/// One of so many regular comparisons looks for streams that the database has open here and that are not.
const ROUNDS_PER_ORPHAN_CHECK: u64 = 12;
/// The time for which a topic without listeners stays active.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The size of all tails together, in bytes of JSON.
const TAILS_BYTES: usize = 64 * 1024 * 1024;
/// The number of sessions in one query.
const SESSIONS_PER_QUERY: usize = 500;

/// Selects one of `every` topics or users.
#[derive(Clone, Copy, Debug)]
struct Turn {
    turn: u64,
    every: u64,
}

impl Hub {
    /// Compares with the database regularly, and at once where hints are known to be lost.
    pub(super) async fn reconcile(&self) {
        let mut ticks = interval(RECONCILE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = self.inner.bus.health();
        let mut orphans = HashSet::new();
        let mut regular_rounds = 0u64;
        let mut urgent_rounds = 0u64;
        loop {
            let compared = if self.next_is_urgent(&mut ticks, &mut health).await {
                let is_full = urgent_rounds.is_multiple_of(URGENT_ROUNDS_PER_FULL);
                urgent_rounds += 1;
                self.compare(EndSource::Database, is_full.then_some(Turn { turn: 0, every: 1 })).await
            } else {
                let round = regular_rounds;
                regular_rounds += 1;
                self.drop_unused();
                self.compare_regularly(round, &mut orphans).await
            };
            if let Err(error) = compared {
                tracing::debug!(%error, "could not compare with the database");
            }
        }
    }

    /// Waits for the next comparison. Returns true if it is urgent: the bus is away, has just changed its health, or has
    /// lost hints.
    async fn next_is_urgent(&self, ticks: &mut Interval, health: &mut watch::Receiver<bool>) -> bool {
        let is_away = !*health.borrow_and_update();
        let changed = async {
            if health.changed().await.is_err() {
                std::future::pending::<()>().await; // the bus has ended, and this hub with it
            }
        };
        tokio::select! {
            _ = ticks.tick() => false,
            () = changed => true,
            () = sleep(BUS_AWAY_INTERVAL), if is_away => true,
            () = self.inner.hints_lost.notified() => {
                sleep(LOST_HINTS_DELAY).await;
                true
            }
        }
    }

    async fn compare_regularly(
        &self,
        round: u64,
        orphans: &mut HashSet<(SessionId, StreamId)>,
    ) -> Result<(), StoreError> {
        let compared = self.compare(EndSource::Comparison, Some(Turn { turn: round % TURNS, every: TURNS })).await;
        if round.is_multiple_of(ROUNDS_PER_ORPHAN_CHECK) {
            return compared.and(self.close_orphans(orphans).await);
        }
        compared
    }

    /// Reads what no hint reported: of logs and streams, and of presence and direct messages for the topics and users whose
    /// turn it is.
    async fn compare(&self, source: EndSource, turn: Option<Turn>) -> Result<(), StoreError> {
        self.compare_ends(source).await?;
        self.compare_streams().await?;
        if let Some(Turn { turn, every }) = turn.filter(|_| self.inner.store.is_shared()) {
            let topics = self.active_topics();
            let due = topics.iter().filter(|topic| topic.key.unsigned_abs() % every == turn);
            due.for_each(|topic| topic.presence.invalidate());
            self.query_activity(turn, every).await?;
        }
        Ok(())
    }

    /// Ends streams whose session has ended or has a newer stream elsewhere; notifies streams whose joins have changed.
    async fn compare_streams(&self) -> Result<(), StoreError> {
        let streams = self.open_streams();
        for chunk in streams.chunks(SESSIONS_PER_QUERY) {
            let sessions: Vec<_> = chunk.iter().map(|(session, _)| *session).collect();
            let versions = self.inner.store.versions(&sessions).await?;
            for (session, signal) in chunk.iter().filter(|(_, signal)| signal.stream_id() != StreamId(0)) {
                match versions.get(session) {
                    None => signal.end(End::SignedOut),
                    Some(version) if version.stream > signal.stream_id() => signal.end(End::Replaced),
                    Some(version) if version.joins != signal.joins_version() => signal.joins_changed(),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Closes streams that the database has open here and that are not, in two consecutive checks: the transaction that
    /// opened them was committed, and its answer was lost.
    async fn close_orphans(&self, before: &mut HashSet<(SessionId, StreamId)>) -> Result<(), StoreError> {
        let open = self.open_streams().into_iter().map(|(session, signal)| (session, signal.stream_id()));
        let open: HashSet<_> = open.collect();
        let stored = self.inner.store.streams_of_instance(self.inner.settings.instance).await?;
        let orphans: HashSet<_> = stored.into_iter().filter(|stream| !open.contains(stream)).collect();
        let both = orphans.intersection(before);
        let closed = both.map(|&(session, stream)| ClosedStream { session, stream }).collect();
        *before = orphans;
        self.close_streams(closed).await
    }

    /// Drops what memory needs no longer: expired pages, old activity, idle topics, and tails beyond the budget.
    fn drop_unused(&self) {
        self.inner.pages.drop_expired();
        self.inner.reported.forget_old();
        self.deactivate_idle_topics();
        self.drop_largest_tails();
    }

    fn deactivate_idle_topics(&self) {
        let is_idle = |topic: &ActiveTopic| topic.idle_since().is_some_and(|since| since.elapsed() >= IDLE_TIMEOUT);
        self.inner.topics.lock().retain(|key, topic| {
            // A stream that is being opened holds a topic before it listens: then there is another reference.
            let kept = !is_idle(topic) || Arc::strong_count(topic) > 1;
            if !kept {
                self.inner.bus.unlisten(&Interest::Topic(*key));
            }
            kept
        });
    }

    /// Drops tails beyond the budget of all tails together, the largest first.
    fn drop_largest_tails(&self) {
        let mut sizes: Vec<_> = self.active_topics().into_iter().map(|topic| (topic.tail_bytes(), topic)).collect();
        let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
        sizes.sort_unstable_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (size, topic) in sizes {
            if total <= TAILS_BYTES {
                break;
            }
            topic.drop_tail();
            total -= size;
        }
    }
}
