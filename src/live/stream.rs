//! A session's stream: a set of positions that sends whatever lies behind them.
//!
//! Live delivery, catching up after a lost connection, a slow reader and a restarted server are this one loop: hear what
//! has changed, take turns over the topics that have something, write what is ready in one piece, wait. The position
//! moves when an entry is put into the piece, so the id of an event names exactly what stands before it.

mod activity;
mod catch_up;
mod checkpoint;
mod gather;
mod joins;
mod poll;
mod rest;
mod waiting;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use litemap::{Entry, LiteMap};
use tokio::time::{Sleep, sleep_until};

use self::activity::Told;
use self::catch_up::Reading;
use self::checkpoint::Storing;
pub(super) use self::rest::Resting;
use super::events::{Bye, Left, Ready, ReadyTopic};
use super::frames::{Format, Frames};
use super::hub::{Closed, Hub};
use super::positions::Positions;
use super::presence::PresenceView;
use super::signal::{End, Listener, Signals, Wake};
use super::topic::{HotTopic, Place};
use crate::model::event_id::{JoinNumber, PresenceDigest};
use crate::model::message::to_json;
use crate::model::{CheckpointId, Millis, Seq, SessionId, StreamId, TopicId, UserId};
use crate::store::{OpenedStream, Resume, StoreError, StreamRequest};

/// What one write carries at most, in bytes: enough to gather a burst, small enough to keep a reader's buffers small.
const CHUNK: usize = 16 * 1024;

thread_local! {
    /// Memory for writing ids, of which streams keep none of their own.
    static INK: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

/// An open stream. Dropping it closes it: its session goes offline after the grace period, unless another has opened.
#[derive(Debug)]
pub struct Stream {
    hub: Hub,
    session: SessionId,
    user: UserId,
    /// 0 while it is being opened.
    id: StreamId,
    wake: Arc<Wake>,
    topics: LiteMap<JoinNumber, Topic>,
    /// Topics that have something, in turn.
    queue: VecDeque<JoinNumber>,
    /// The first join_number that it knows nothing of.
    next_join_number: JoinNumber,
    positions: Positions,
    /// What is new in topics that it does not listen to.
    told: Told,
    storing: Option<Box<Storing>>,
    stored_at: Instant,
    frames: Frames,
    /// What the socket has not taken yet of what was written while the stream rested.
    unsent: BytesMut,
    opened_at: Instant,
    max_age: Duration,
    expires_at: Millis,
    written_at: Instant,
    /// The time, as it was when the stream looked last: one look serves everything that a wake-up brings.
    now: Instant,
    /// When its age and its session's time are looked at again.
    check_at: Instant,
    /// Rings when something is due, or before: what is written puts off what is due, and that moves no timer.
    timer: Pin<Box<Sleep>>,
    signals: Signals,
    /// The joins are to be read again.
    reload: bool,
    /// The database has not answered: not before then.
    again_at: Option<Instant>,
    resumed: bool,
    finished: bool,
}

/// A topic on a stream.
#[derive(Debug)]
struct Topic {
    hot: Arc<HotTopic>,
    listener: Arc<Listener>,
    number: u64,
    place: Place,
    /// Whether it waits for its turn.
    queued: bool,
    /// More was missed than is replayed: up to here it has to be read as history.
    gap_to: Option<Seq>,
    /// The view that the client knows; none before its first `presence_state`.
    shown: Option<Arc<PresenceView>>,
    /// What a long poll's client says that it knows.
    known: Option<PresenceDigest>,
    /// The join has ended with this entry: the last to be shown.
    last: Option<Seq>,
    /// That was shown: nothing comes after it, whatever the database says.
    closed: bool,
    /// The page of the log that is being read for it.
    reading: Option<Reading>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The session has ended or expired.
    #[error("the session has ended")]
    Ended,
    /// The database is away, or worse.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Stream {
    /// Opens the session's stream. It runs in a task of its own: where the caller has gone meanwhile, the stream is
    /// closed as soon as it is open.
    pub async fn open(
        hub: &Hub,
        session: SessionId,
        user: UserId,
        resume: Resume,
        form: Format,
    ) -> Result<Self, StreamError> {
        let hub = hub.clone();
        let digests = match (&resume, form) {
            (Resume::Id(id), Format::Json) => id.digests.clone(),
            _ => Vec::new(),
        };
        let opening = tokio::spawn(async move {
            let mut stream = Self::unopened(hub.clone(), session, user, form);
            hub.inner.bus.settled().await; // what changes from here on is told
            let instance = hub.inner.settings.instance;
            let open = StreamRequest { session, instance, resume, grace: hub.grace() };
            let opened = hub.inner.store.open_stream(open).await?.map_err(|_| StreamError::Ended)?;
            stream.begin(opened, &digests).await?;
            Ok(stream)
        });
        opening.await.unwrap_or_else(|_| Err(StoreError::Unavailable("opening was given up".into()).into()))
    }

    fn unopened(hub: Hub, session: SessionId, user: UserId, form: Format) -> Self {
        let now = Instant::now();
        // Streams that were opened together shall not end together.
        let max_age = hub.inner.settings.max_age.mul_f64(0.9 + 0.1 * hub.inner.clock.jitter());
        Self {
            wake: hub.register(session, &user),
            positions: Positions::new(hub.tag(session), CheckpointId(0)),
            hub,
            session,
            user,
            id: StreamId(0),
            topics: LiteMap::new(),
            queue: VecDeque::new(),
            next_join_number: JoinNumber(0),
            told: Told::default(),
            storing: None,
            stored_at: now,
            frames: Frames::new(form),
            unsent: BytesMut::new(),
            opened_at: now,
            max_age,
            expires_at: Millis(i64::MAX),
            written_at: now,
            now,
            check_at: now,
            timer: Box::pin(sleep_until(now.into())),
            signals: Signals::default(),
            reload: false,
            again_at: None,
            resumed: false,
            finished: false,
        }
    }

    async fn begin(
        &mut self,
        opened: OpenedStream,
        digests: &[(JoinNumber, PresenceDigest)],
    ) -> Result<(), StoreError> {
        self.id = opened.stream;
        self.positions = Positions::new(self.hub.tag(self.session), opened.stream.first_checkpoint());
        self.wake.set_joins(opened.joins_version);
        self.hub.opened(self.session, &self.wake, opened.stream);
        self.next_join_number = opened.next_join_number;
        self.expires_at = opened.expires_at;
        self.resumed = opened.resumed;
        self.hub.presence_changed(&opened.appeared);
        self.say_ready(&opened);
        for (join_number, topic, reason) in &opened.left {
            self.say_left(*join_number, topic, reason.as_str());
        }
        self.topics = LiteMap::with_capacity(opened.joins.len());
        let replay = i64::try_from(self.hub.inner.settings.replay).unwrap_or(i64::MAX);
        for join in &opened.joins {
            let gap_to = Seq(join.last_seq.0.saturating_sub(replay));
            let known = digests
                .binary_search_by_key(&join.join_number, |(join_number, _)| *join_number)
                .ok()
                .map(|i| digests[i].1);
            let topic = self.listen(join.join_number, join.key, &join.topic, join.position);
            topic.gap_to = (gap_to > join.position).then_some(gap_to);
            topic.known = known.filter(|_| opened.resumed);
        }
        let ends = opened
            .joins
            .iter()
            .map(|join| (self.topics[&join.join_number].hot.clone(), join.last_seq))
            .collect::<Vec<_>>();
        self.hub.keep_up(&ends, self.is_poll()).await?;
        let hot: Vec<_> = ends.into_iter().map(|(hot, _)| hot).collect();
        self.hub.sync(&hot).await
    }

    /// Starts listening to a topic from a position on; its presence and its entries wait for their turn.
    fn listen(&mut self, join_number: JoinNumber, key: i64, id: &TopicId, position: Seq) -> &mut Topic {
        let hot = self.hub.heat(key, id);
        let listener = Arc::new(Listener::new(self.wake.clone(), join_number));
        let (number, ephemeral) = hot.listen(listener.clone());
        let place = Place { position, ephemeral };
        listener.notice();
        let topic = Topic {
            hot,
            listener,
            number,
            place,
            queued: false,
            gap_to: None,
            shown: None,
            known: None,
            last: None,
            closed: false,
            reading: None,
        };
        match self.topics.entry(join_number) {
            Entry::Vacant(place) => place.insert(topic),
            Entry::Occupied(mut place) => {
                place.insert(topic);
                place.into_mut()
            }
        }
    }

    /// The next piece of the stream, as soon as there is one; `None` after its end.
    pub async fn next(&mut self) -> Option<Bytes> {
        while !self.work().await {
            if self.finished {
                return None;
            }
            self.wait(None).await;
        }
        Some(self.frames.take())
    }

    /// What is to be written now, as a chunk of HTTP/1.1 (RFC 9112 §7.1); `None` where nothing is.
    pub async fn next_chunk(&mut self) -> Option<BytesMut> {
        if !self.unsent.is_empty() {
            return Some(std::mem::take(&mut self.unsent));
        }
        self.work().await.then(|| self.frames.take_chunk())
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        self.finished
    }

    /// Hears what has happened and gathers what that brings; answers whether there is something to write.
    async fn work(&mut self) -> bool {
        if self.frames.is_empty() && !self.finished {
            match self.hear().await {
                Some(end) => drop(self.say_bye(end)),
                None => self.fill(CHUNK).await,
            }
        }
        self.written_at = if self.frames.is_empty() { self.written_at } else { self.now };
        !self.frames.is_empty()
    }

    /// Takes note of what has happened; answers why the stream is over, if it is.
    async fn hear(&mut self) -> Option<End> {
        self.now = Instant::now();
        let mut signals = std::mem::take(&mut self.signals);
        self.wake.take(&mut signals);
        signals.ready.drain(..).for_each(|join_number| self.enqueue(join_number));
        self.reload |= std::mem::take(&mut signals.joins);
        let (activity, end) = (std::mem::take(&mut signals.activity), signals.end.take());
        self.signals = signals;
        if end.is_some() {
            return end;
        }
        if self.reload && self.may_ask() {
            self.reload_joins().await;
        }
        self.tell_activity(activity);
        if !self.tend_checkpoint().await {
            return Some(End::Replaced);
        }
        if self.now < self.check_at {
            return None;
        }
        if self.opened_at.elapsed() >= self.max_age {
            return Some(End::MaxAge);
        }
        if self.expired().await {
            return Some(End::Expired);
        }
        self.check_at = self.next_check();
        None
    }

    fn say_ready(&mut self, opened: &OpenedStream) {
        // Between half a second and two and a half: clients that lost a server together come back apart.
        self.frames.retry(self.jittered(500, 2_000));
        if self.resumed && self.is_poll() {
            return;
        }
        let topics = opened.joins.iter().map(|j| ReadyTopic { topic: &j.topic, position: j.position }).collect();
        let ready = to_json(&Ready { session_id: self.session, user_id: &self.user, topics });
        self.say("ready", true, &ready);
    }

    fn say_left(&mut self, join_number: JoinNumber, topic: &TopicId, reason: &'static str) {
        self.say("left", false, &to_json(&Left { topic, reason }));
        self.positions.told(join_number);
    }

    /// Answers the mark of a stream that was replaced; empty for any other.
    fn say_bye(&mut self, end: End) -> Vec<u8> {
        self.finished = true;
        if end.reconnect() {
            self.frames.retry(self.jittered(500, 4_500));
        }
        let data = to_json(&Bye { reason: end.as_str(), reconnect: end.reconnect() });
        let mut id = Vec::new();
        if end == End::Replaced {
            self.positions.write_replaced(self.id, &mut id);
        }
        self.frames.event("bye", &id, &data);
        id
    }

    /// Adds an event, with the id of everything up to and including it where it has one.
    fn say(&mut self, name: &str, with_id: bool, data: &[u8]) {
        if !with_id {
            return self.frames.event(name, b"", data);
        }
        INK.with_borrow_mut(|(scratch, id)| {
            id.clear();
            self.positions.write_id(&self.digests(), scratch, id);
            self.frames.event(name, id, data);
        });
    }

    fn is_poll(&self) -> bool {
        self.frames.form() == Format::Json
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a jitter is within 0.0..1.0")]
    fn jittered(&self, least: u64, spread: u64) -> u64 {
        least + (self.hub.inner.clock.jitter() * spread as f64) as u64
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.unregister(self.session, &self.user, &self.wake);
        for topic in self.topics.values() {
            topic.hot.unlisten(topic.number);
        }
        if self.id != StreamId(0) {
            self.hub.closed(Closed { session: self.session, stream: self.id });
        }
    }
}

#[cfg(test)]
mod tests;
