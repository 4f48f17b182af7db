//! The hub's regular work: presence intervals, writing down which streams have ended, the lease, and looking for whatever
//! no hint said.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::hub::{Closed, Hub, lock};
use super::presence::Due;
use super::signal::End;
use super::topic::HotTopic;
use crate::bus::{Hint, Interest};
use crate::model::{SessionId, StreamId};
use crate::store::{Store, StoreError};

/// How often hot topics and open streams are compared with the database.
const RECONCILE: Duration = Duration::from_secs(5);
/// The same while the bus is away.
const FAST: Duration = Duration::from_millis(500);
/// The same where hints were lost.
const SOON: Duration = Duration::from_millis(100);
/// Within so many comparisons, the presence of each hot topic and the direct messages of each user are looked at, whatever
/// has been told.
const ALL: u64 = 4;
/// Every so many of the fast comparisons do that for all.
const UNTOLD: u64 = 4;
/// How long a topic without listeners stays hot.
const LINGER: Duration = Duration::from_secs(60);
/// What all tails together may take.
const TAILS: usize = 64 * 1024 * 1024;
/// Streams whose end is written down in one transaction.
const CLOSE_BATCH: usize = 256;
/// Topics whose presence is looked at in the same moment.
const LOOKS: usize = 4;
/// How often a lease is renewed before it would lapse.
const RENEWALS: u32 = 3;
/// How long the others may take, besides, to find a database that is back.
const LENIENCE: Duration = Duration::from_secs(3);
/// How long the lease waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// Every so many comparisons, streams that the database knows of are looked for here.
const ORPHANS: u64 = 12;

impl Hub {
    /// Works until `stop`; then every stream's end has been written down and the lease given back.
    /// `hints` is what other instances tell.
    pub async fn run(self, hints: mpsc::Receiver<Hint>, stop: CancellationToken) {
        let work = async {
            let regular = async { tokio::join!(self.publish_presence(), self.write_down_closed(), self.renew_lease()) };
            tokio::join!(regular, self.reconcile(), self.hear(hints));
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        if let Err(error) = self.give_up_lease().await {
            tracing::warn!(%error, "the lease could not be given back: sessions stay online until it lapses");
        }
        self.inner.bus.close().await;
    }

    /// Takes this instance's lease, or renews it; nothing may be served before it stands.
    pub async fn take_lease(&self) -> Result<(), StoreError> {
        let renewing = self.store().renew_lease(self.inner.settings.instance, self.inner.settings.lease);
        let away = |_| StoreError::Unavailable("the lease took too long".into());
        let until = timeout(PATIENCE, renewing).await.map_err(away)??;
        self.inner.lease_until.store(until.0, Ordering::Release);
        Ok(())
    }

    /// Whether this instance counts as dead: it was frozen, or cut off from its database.
    fn has_lapsed(&self) -> bool {
        self.inner.lease_until.load(Ordering::Acquire) < self.store().now().0
    }

    /// Whether the others are to have time to say that they live: this instance has just come back from where nobody may
    /// have been able to, as without a database.
    fn is_lenient(&self) -> bool {
        self.inner.lenient_until.load(Ordering::Acquire) > self.store().now().0
    }

    /// After a lapse: streams that are still their sessions' latest are this instance's again, and everybody is looked at
    /// anew.
    async fn recover(&self) -> Result<(), StoreError> {
        let streams = self.open_streams().into_iter().map(|(session, wake)| (session, wake.stream_id()));
        let mut streams: Vec<_> = streams.filter(|(_, stream)| *stream != StreamId(0)).collect();
        streams.sort_unstable();
        for chunk in streams.chunks(CLOSE_BATCH) {
            self.store().assert_streams(self.inner.settings.instance, chunk.to_vec()).await?;
        }
        // To the others, too, these sessions were gone.
        self.presence_changed(&self.hot_topics().iter().map(|topic| topic.key).collect::<Vec<_>>());
        Ok(())
    }

    async fn give_up_lease(&self) -> Result<(), StoreError> {
        self.close_all(self.take_closed()).await?;
        self.store().release_lease(self.inner.settings.instance, self.grace()).await
    }

    /// Looks at what is due at the end of each interval. A look that takes long holds up its own topic and no other.
    async fn publish_presence(&self) {
        let mut ticks = interval(self.inner.settings.presence_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (few, mut looks) = (Semaphore::new(LOOKS), FuturesUnordered::new());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(()) = looks.next() => continue,
            }
            let now = self.store().now();
            if self.has_lapsed() || self.is_lenient() {
                continue; // by the clock our streams are gone, or those of others; to say so would be wrong
            }
            let due = self.hot_topics().into_iter().filter_map(|topic| Some((topic.presence.begin(now)?, topic)));
            looks.extend(due.map(|(due, topic)| self.publish(topic, due, &few)));
        }
    }

    async fn publish(&self, topic: Arc<HotTopic>, due: Due, few: &Semaphore) {
        let looked = match due {
            Due::Publish => Ok(()),
            Due::Look => match few.acquire().await {
                Ok(_one) => self.look(&topic).await.map(drop),
                Err(_) => return, // it is never closed
            },
        };
        if let Err(error) = looked {
            tracing::debug!(%error, "presence could not be read");
        } else if topic.presence.publish(&topic.id) {
            topic.wake_for_presence();
        }
        topic.presence.end();
    }

    async fn write_down_closed(&self) {
        loop {
            self.inner.closing.notified().await;
            let closed = self.take_closed();
            if let Err(error) = self.close_all(closed).await {
                tracing::debug!(%error, "ended streams could not be written down yet");
                sleep(Duration::from_secs(1)).await;
                self.inner.closing.notify_one();
            }
        }
    }

    async fn close_all(&self, mut closed: Vec<Closed>) -> Result<(), StoreError> {
        while !closed.is_empty() {
            let batch = closed.split_off(closed.len().saturating_sub(CLOSE_BATCH));
            let mut streams: Vec<_> = batch.iter().map(|closed| (closed.session, closed.stream)).collect();
            streams.sort_unstable(); // as every transaction that locks several sessions does
            match self.store().close_streams(streams, self.grace()).await {
                // Nobody is gone yet; but from now on their time runs, and the views have to know until when.
                Ok(topics) => self.presence_changed(&topics),
                Err(error) => {
                    closed.extend(batch);
                    self.put_back_closed(closed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn renew_lease(&self) {
        let mut ticks = interval(self.inner.settings.lease / RENEWALS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let lapsed = self.has_lapsed();
            if let Err(error) = self.take_lease().await {
                tracing::warn!(%error, "the lease could not be renewed");
                continue;
            }
            if lapsed {
                let until = self.store().now().plus(self.inner.settings.lease / RENEWALS + LENIENCE);
                self.inner.lenient_until.store(until.0, Ordering::Release);
            }
            let recovered = if lapsed { self.recover().await } else { Ok(()) };
            if let Err(error) = recovered {
                tracing::warn!(%error, "the lease had lapsed, and streams could not be asserted anew");
                self.inner.lease_until.store(0, Ordering::Release); // once more in the next round
            }
            if self.is_lenient() {
                continue;
            }
            if let Err(error) = self.store().expire_instances(self.inner.settings.instance, self.grace()).await {
                tracing::debug!(%error, "lapsed leases could not be swept");
            }
        }
    }

    async fn reconcile(&self) {
        let mut ticks = interval(RECONCILE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = self.inner.bus.health();
        let (mut orphans, mut regular, mut urgent) = (HashSet::new(), 0u64, 0u64);
        loop {
            let at_once = self.next_comparison(&mut ticks, &mut health).await;
            let round = if at_once { &mut urgent } else { &mut regular };
            let number = std::mem::replace(round, *round + 1);
            let turn = match at_once {
                true if number % UNTOLD == 0 => Some((0, 1)),
                true => None,
                false => Some((number % ALL, ALL)),
            };
            if !at_once {
                self.inner.pages.prune();
                self.inner.told.forget_old();
                self.cool_topics();
            }
            let mut compared = self.compare(at_once, turn).await;
            if !at_once && number % ORPHANS == 0 {
                compared = compared.and(self.close_orphans(&mut orphans).await);
            }
            if let Err(error) = compared {
                tracing::debug!(%error, "could not compare with the database");
            }
        }
    }

    /// Waits for the next comparison; answers whether it makes good for a bus that is away, has just come or gone, or has
    /// lost hints.
    async fn next_comparison(&self, ticks: &mut Interval, health: &mut watch::Receiver<bool>) -> bool {
        let away = !*health.borrow_and_update();
        let changed = async {
            if health.changed().await.is_err() {
                std::future::pending::<()>().await; // the bus has gone, and this hub with it
            }
        };
        tokio::select! {
            _ = ticks.tick() => false,
            () = changed => true,
            () = sleep(FAST), if away => true,
            () = self.inner.compare.notified() => {
                sleep(SOON).await; // what is lost comes in heaps
                true
            }
        }
    }

    /// Lets presence be looked at anew on the hot topics whose turn it is: one in `every`.
    fn touch_presence(&self, turn: u64, every: u64) {
        let due = |topic: &&Arc<HotTopic>| topic.key.unsigned_abs() % every == turn;
        self.hot_topics().iter().filter(due).for_each(|topic| topic.presence.touch());
    }

    /// Learns what no hint said: of topics and of streams, and in their turn, of presence and direct messages.
    async fn compare(&self, at_once: bool, turn: Option<(u64, u64)>) -> Result<(), StoreError> {
        self.expect_ends(at_once).await?;
        self.compare_streams().await?;
        if let Some((turn, every)) = turn.filter(|_| self.store().is_shared()) {
            self.touch_presence(turn, every);
            self.look_for_activity(turn, every).await?;
        }
        Ok(())
    }

    /// Learns how far the hot topics have come. What a commit has just stored is about to be told by the log itself: only
    /// what is still unknown a round later was lost on the way; unless it is known that hints are lost.
    async fn expect_ends(&self, at_once: bool) -> Result<(), StoreError> {
        for chunk in self.hot_topics().chunks(500) {
            let keys: Vec<_> = chunk.iter().map(|topic| topic.key).collect();
            let ends: HashMap<_, _> = self.store().last_seqs(&keys).await?.into_iter().collect();
            for topic in chunk {
                let Some(last) = ends.get(&topic.key) else { continue };
                if if at_once { topic.reached(*last) } else { topic.expect(*last) } {
                    self.inner.pages.forget(topic.key); // a removal may be among what was not told
                }
            }
        }
        Ok(())
    }

    /// Closes streams that the database thinks are here and that are not, twice in a row: opening them was committed, and
    /// the answer was lost.
    async fn close_orphans(&self, before: &mut HashSet<(SessionId, StreamId)>) -> Result<(), StoreError> {
        let open = self.open_streams().into_iter().map(|(session, wake)| (session, wake.stream_id()));
        let open: HashSet<_> = open.collect();
        let known = self.store().streams_of_instance(self.inner.settings.instance).await?;
        let orphans: HashSet<_> = known.into_iter().filter(|stream| !open.contains(stream)).collect();
        let closed = orphans.intersection(before).map(|&(session, stream)| Closed { session, stream }).collect();
        *before = orphans;
        self.close_all(closed).await
    }

    /// Ends streams whose session has ended, or streams elsewhere by now; lets others read their joins that have changed.
    async fn compare_streams(&self) -> Result<(), StoreError> {
        let streams = self.open_streams();
        for chunk in streams.chunks(500) {
            let sessions: Vec<_> = chunk.iter().map(|(session, _)| *session).collect();
            let versions = self.store().versions(&sessions).await?;
            for (session, wake) in chunk.iter().filter(|(_, wake)| wake.stream_id() != StreamId(0)) {
                match versions.get(session) {
                    None => wake.end(End::SignedOut),
                    Some(version) if version.stream > wake.stream_id() => wake.end(End::Replaced),
                    Some(version) if version.joins != wake.joins() => wake.joins_changed(),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Forgets topics that nobody has listened to for a while, and tails beyond the budget, the largest first.
    fn cool_topics(&self) {
        let cold = |topic: &HotTopic| topic.deserted().is_some_and(|since| since.elapsed() >= LINGER);
        // A stream that is being opened holds a topic before it listens: then somebody else has it, too.
        lock(&self.inner.topics).retain(|key, topic| {
            let kept = !cold(topic) || Arc::strong_count(topic) > 1;
            if !kept {
                self.inner.bus.unlisten(&Interest::Topic(*key));
            }
            kept
        });
        let mut sizes: Vec<_> = self.hot_topics().into_iter().map(|topic| (topic.tail_bytes(), topic)).collect();
        let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
        sizes.sort_unstable_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (size, topic) in sizes {
            if total <= TAILS {
                break;
            }
            topic.drop_tail();
            total -= size;
        }
    }

    fn hot_topics(&self) -> Vec<Arc<HotTopic>> {
        lock(&self.inner.topics).values().cloned().collect()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }
}
