//! The state of a stream, and of each topic on it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use litemap::LiteMap;
use tokio::time::{Sleep, sleep_until};

use super::activity_throttle::ActivityThrottle;
use super::checkpoint_write::CheckpointWrite;
use super::page_read::PageRead;
use crate::live::access::Access;
use crate::live::encoder::{EventEncoder, Format};
use crate::live::hub::{ClosedStream, Hub};
use crate::live::items::TopicPosition;
use crate::live::listener::TopicListener;
use crate::live::positions::Positions;
use crate::live::presence::PresenceView;
use crate::live::signal::{PendingSignals, StreamSignal};
use crate::live::topic::ActiveTopic;
use crate::model::event_id::{JoinNumber, PresenceDigest};
use crate::model::{CheckpointId, Millis, Seq, SessionId, StreamId, UserId};
use crate::store::StoreError;

/// The time for which a stream does not query a database that has failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// An open stream. Dropping it closes it: its session goes offline after the grace period, unless another stream has
/// opened.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(super) hub: Hub,
    pub(super) session: SessionId,
    pub(super) user: UserId,
    /// 0 while the stream is being opened.
    pub(super) id: StreamId,
    pub(super) signal: Arc<StreamSignal>,
    pub(super) topics: LiteMap<JoinNumber, JoinedTopic>,
    /// The topics that have something, in the order of their turns.
    pub(super) queue: VecDeque<JoinNumber>,
    /// The first join number that the stream has not read.
    pub(super) next_join_number: JoinNumber,
    pub(super) positions: Positions,
    /// New entries in direct messages that the session has not joined.
    pub(super) activity: ActivityThrottle,
    pub(super) checkpoint_write: Option<Box<CheckpointWrite>>,
    /// When the last checkpoint was begun to be written.
    pub(super) checkpoint_at: Instant,
    pub(super) encoder: EventEncoder,
    /// The framed bytes that the sink did not accept while the stream was parked.
    pub(super) unsent: BytesMut,
    /// When the stream reaches its maximum age.
    pub(super) ends_at: Instant,
    pub(super) expires_at: Millis,
    pub(super) written_at: Instant,
    /// The time when the stream last took its signals; read once for everything that a wake-up brings.
    pub(super) now: Instant,
    /// When the stream's age and the session's expiry are checked next.
    pub(super) check_at: Instant,
    /// Fires when something is due, or earlier: a write puts off what is due, and that does not move the timer.
    pub(super) timer: Pin<Box<Sleep>>,
    /// Empty signals, whose memory is used when signals are taken.
    pub(super) spare_signals: PendingSignals,
    /// True if the joins have to be read again before anything else is shown.
    pub(super) reload: bool,
    /// The database has failed and is not queried before then.
    pub(super) retry_at: Option<Instant>,
    pub(super) finished: bool,
}

/// A topic on a stream.
#[derive(Debug)]
pub(super) struct JoinedTopic {
    pub(super) active: Arc<ActiveTopic>,
    pub(super) listener: Arc<TopicListener>,
    pub(super) listener_number: u64,
    pub(super) position: TopicPosition,
    /// True if the topic waits for its turn.
    pub(super) queued: bool,
    /// More was missed than is replayed: the entries up to this one have to be read as history.
    pub(super) gap_to: Option<Seq>,
    /// The view that the client has; `None` before its first `presence_state`.
    pub(super) shown: Option<Arc<PresenceView>>,
    /// The digest of the view that a long poll's client has.
    pub(super) known_digest: Option<PresenceDigest>,
    /// The entry that ended the join: the last one to be shown.
    pub(super) join_end: Option<Seq>,
    /// True if that entry was shown: nothing comes after it, even if the joins in the database are read late.
    pub(super) closed: bool,
    /// The page of the log that is being read for the topic.
    pub(super) page_read: Option<PageRead>,
}

/// The reason why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The session has ended or expired.
    #[error("the session has ended")]
    Ended,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Stream {
    /// A stream that is registered with the hub and not open yet.
    pub(super) fn unopened(hub: Hub, session: SessionId, user: UserId, format: Format) -> Self {
        let now = Instant::now();
        // Streams that were opened together do not end together.
        let max_age = hub.inner.settings.max_age.mul_f64(0.9 + 0.1 * hub.inner.clock.jitter());
        Self {
            signal: hub.register(session, &user),
            positions: Positions::new(hub.tag(session), CheckpointId(0)),
            hub,
            session,
            user,
            id: StreamId(0),
            topics: LiteMap::new(),
            queue: VecDeque::new(),
            next_join_number: JoinNumber(0),
            activity: ActivityThrottle::default(),
            checkpoint_write: None,
            checkpoint_at: now,
            encoder: EventEncoder::new(format),
            unsent: BytesMut::new(),
            ends_at: now + max_age,
            expires_at: Millis(i64::MAX),
            written_at: now,
            now,
            check_at: now,
            timer: Box::pin(sleep_until(now.into())),
            spare_signals: PendingSignals::default(),
            reload: false,
            retry_at: None,
            finished: false,
        }
    }

    pub(super) fn is_poll(&self) -> bool {
        self.encoder.format() == Format::Json
    }

    pub(super) fn access(&self) -> Access<'_> {
        Access { store: &self.hub.inner.store, signal: &self.signal, session: self.session }
    }

    /// Adds a topic to those that wait for their turn; it waits once, however often it is notified.
    pub(super) fn enqueue(&mut self, join_number: JoinNumber) {
        if let Some(topic) = self.topics.get_mut(&join_number).filter(|topic| !topic.queued) {
            topic.queued = true;
            self.queue.push_back(join_number);
        }
    }

    /// Returns true if the database may be queried: it has not failed, or the delay after the failure is over.
    pub(super) fn may_query(&mut self) -> bool {
        self.retry_at = self.retry_at.filter(|at| *at > Instant::now());
        self.retry_at.is_none()
    }

    /// Delays further queries, because the database has failed.
    pub(super) fn retry_later(&mut self, error: &StoreError) {
        tracing::debug!(%error, "a stream waits for the database");
        self.retry_at = Some(Instant::now() + RETRY_DELAY);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.unregister(self.session, &self.user, &self.signal);
        for topic in self.topics.values() {
            topic.active.remove_listener(topic.listener_number);
        }
        if self.id != StreamId(0) {
            self.hub.add_closed(ClosedStream { session: self.session, stream: self.id });
        }
    }
}
