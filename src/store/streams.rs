//! Streams: opening one (which takes the next checkpoint), storing how far it has come, closing it.
//!
//! A session has one stream at a time. The checkpoint that a stream opened with is its name: whatever ends, closes or
//! moves a stream acts only where that is still the session's latest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::joins::{LeaveReason, join_number};
use super::pool::{Durability, Row, Transaction};
use super::sessions::{live_topics, touch_session};
use super::{Store, StoreError, TopicKey, Touch, dialect};
use crate::model::event_id::{EventId, JoinNumber, Progress, positions_from_bytes, positions_to_bytes};
use crate::model::{CheckpointId, Millis, Seq, SessionId, StreamId, TopicId};

/// Checkpoints older than the one that was brought back go, but for so many of the latest.
const KEPT_BEHIND: i64 = 8;
/// A client that never brings an id back keeps so many.
const KEPT: i64 = 1_000;

/// Where a stream shall start.
#[derive(Clone, Debug)]
pub enum Resume {
    /// Where this id says; where it cannot be used, as [`Resume::Last`].
    Id(EventId),
    /// Where the last id that the session brought back says, and at first where it joined.
    Last,
    /// At the end of everything.
    Now,
}

/// A stream to be opened.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// Whose.
    pub session: SessionId,
    /// Which instance will hold it.
    pub instance: Uuid,
    /// Where it shall start.
    pub resume: Resume,
    /// The presence grace period.
    pub grace: Duration,
}

/// One topic of a stream.
#[derive(Clone, Debug)]
pub struct StreamJoin {
    /// The join's number in ids.
    pub join_number: JoinNumber,
    /// The topic's key.
    pub key: TopicKey,
    /// The topic's id.
    pub topic: TopicId,
    /// Everything up to here has been sent.
    pub position: Seq,
    /// The newest entry at opening.
    pub last_seq: Seq,
}

/// A stream that has been opened.
#[derive(Clone, Debug)]
pub struct OpenedStream {
    /// The stream's id. Its first checkpoint has been stored with it.
    pub stream: StreamId,
    /// The join_number that the session's next join gets.
    pub next_join_number: JoinNumber,
    /// The version of the session's joins.
    pub joins_version: i64,
    /// What it listens to.
    pub joins: Vec<StreamJoin>,
    /// What has ended without the client having been told.
    pub left: Vec<(JoinNumber, TopicId, LeaveReason)>,
    /// Whether it carries on from the id that was given.
    pub resumed: bool,
    /// When the session's tokens end.
    pub expires_at: Millis,
    /// The topics on which the session has appeared by this.
    pub appeared: Vec<TopicKey>,
}

/// What changes when something happens to a session that its stream has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The session's latest stream.
    pub stream: StreamId,
    /// Counts the changes of its joins.
    pub joins: i64,
}

/// Why no stream was opened: the session has ended or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRefused;

/// A checkpoint as it is stored.
struct Checkpoint {
    next_join_number: u32,
    positions: BTreeMap<JoinNumber, Progress>,
}

impl Store {
    /// Opens a session's stream; from here on any other one is the session's no more.
    pub async fn open_stream(&self, open: StreamRequest) -> Result<Result<OpenedStream, StreamRefused>, StoreError> {
        let now = self.now();
        // A refusal changes nothing.
        let lasts =
            |opened: &Result<(_, Durability), _>| opened.as_ref().map_or(Durability::Delayed, |opened| opened.1);
        let opened = self.change_delayed(lasts, move |tx| Box::pin(async move { open_stream(tx, &open, now).await }));
        Ok(opened.await?.map(|(opened, _)| opened))
    }

    /// Stores how far a stream has come as the session's next checkpoint; `None` where another stream has taken over.
    /// `next_join_number` is the first join_number that the stream knows nothing of.
    pub async fn store_checkpoint(
        &self,
        session: SessionId,
        stream: StreamId,
        next_join_number: JoinNumber,
        positions: Vec<(JoinNumber, Progress)>,
    ) -> Result<Option<CheckpointId>, StoreError> {
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET last_checkpoint = last_checkpoint + 1 \
                           WHERE id = $1 AND stream_id = $2 AND ended_at IS NULL RETURNING last_checkpoint";
                let row = dialect::row(tx, sql, vec![session.0.into(), stream.stored().into()]).await?;
                let Some(row) = row else { return Ok(None) };
                let number: i64 = dialect::get(&row, "last_checkpoint")?;
                let next_join_number = i32::try_from(next_join_number.0).unwrap_or(i32::MAX);
                insert(tx, session, number, next_join_number, &positions).await?;
                Ok(Some(CheckpointId(number.unsigned_abs())))
            })
        })
        .await
    }

    /// Closes streams, each only where it is still its session's latest: they stay online for `grace`. Answers the
    /// topics on which their time runs from now.
    pub async fn close_streams(
        &self,
        streams: Vec<(SessionId, StreamId)>,
        grace: Duration,
    ) -> Result<Vec<TopicKey>, StoreError> {
        let until = self.now().plus(grace);
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET instance_id = NULL, online_until = $1 WHERE id = $2 AND stream_id = $3";
                let mut closed = Vec::new();
                for (session, stream) in streams {
                    let values = vec![until.0.into(), session.0.into(), stream.stored().into()];
                    if dialect::exec(tx, sql, values).await? > 0 {
                        closed.push(session.0);
                    }
                }
                live_topics(tx, &closed).await
            })
        })
        .await
    }

    /// The streams that an instance holds, as far as the database knows.
    pub async fn streams_of_instance(&self, instance: Uuid) -> Result<Vec<(SessionId, StreamId)>, StoreError> {
        let sql = "SELECT id, stream_id FROM session WHERE instance_id = $1";
        let rows = dialect::rows(self.read(), sql, vec![instance.into()]).await?;
        let stream = |row: &Row| {
            Ok((SessionId(dialect::get(row, "id")?), StreamId(dialect::get::<i64>(row, "stream_id")?.unsigned_abs())))
        };
        rows.iter().map(stream).collect()
    }

    /// Says once more that an instance holds these streams, where they are still their sessions' latest.
    pub async fn assert_streams(&self, instance: Uuid, streams: Vec<(SessionId, StreamId)>) -> Result<(), StoreError> {
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET instance_id = $1 WHERE id = $2 AND stream_id = $3 AND ended_at IS NULL";
                for (session, stream) in streams {
                    dialect::exec(tx, sql, vec![instance.into(), session.0.into(), stream.stored().into()]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The versions of those of these sessions that have not been ended.
    pub async fn versions(&self, sessions: &[SessionId]) -> Result<HashMap<SessionId, Version>, StoreError> {
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let places = dialect::places(1, sessions.len());
        let sql =
            format!("SELECT id, stream_id, joins_version FROM session WHERE ended_at IS NULL AND id IN ({places})");
        let rows = dialect::rows(self.read(), sql, sessions.iter().map(|s| s.0.into()).collect()).await?;
        let version = |row: &Row| {
            let stream: i64 = dialect::get(row, "stream_id")?;
            let version =
                Version { stream: StreamId(stream.unsigned_abs()), joins: dialect::get(row, "joins_version")? };
            Ok((SessionId(dialect::get(row, "id")?), version))
        };
        rows.iter().map(version).collect()
    }
}

async fn open_stream(
    tx: &Transaction,
    open: &StreamRequest,
    now: Millis,
) -> Result<Result<(OpenedStream, Durability), StreamRefused>, StoreError> {
    let id = open.session;
    let sql = format!(
        "SELECT last_checkpoint, next_join_number, joins_version, expires_at, resume_checkpoint, resume_moved FROM session \
         WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![id.0.into(), now.0.into()]).await? else {
        return Ok(Err(StreamRefused));
    };
    let number = dialect::get::<i64>(&row, "last_checkpoint")? + 1;
    let next_join_number: i32 = dialect::get(&row, "next_join_number")?;
    let given = match &open.resume {
        Resume::Id(event) => brought_back(tx, id, event.checkpoint.stored(), &event.moved, number).await?,
        Resume::Last | Resume::Now => None,
    };
    let resumed = given.is_some();
    let base = match (given, &open.resume) {
        (Some(base), _) => Some(base),
        (None, Resume::Now) => None,
        (None, _) => last_brought_back(tx, id, &row).await?,
    };
    let at_end = matches!(open.resume, Resume::Now);
    let (joins, left) = place(tx, id, base.as_ref(), at_end).await?;
    // A checkpoint that says what the joins say by themselves may be lost: the stream would start just there again, as
    // whatever it sends is stored later. Without any other, a client would get anew what it has.
    let says_nothing = base.is_none() && !at_end && left.is_empty() && joins.iter().all(|j| j.position == j.last_seq);
    let durability = if says_nothing { Durability::Delayed } else { Durability::Full };

    let positions = joins.iter().map(|j| (j.join_number, Progress::SentUpTo(j.position)));
    let untold = left.iter().map(|(join_number, ..)| (*join_number, Progress::SentUpTo(Seq(0))));
    let mut positions: Vec<_> = positions.chain(untold).collect();
    positions.sort_by_key(|(join_number, _)| *join_number);
    insert(tx, id, number, next_join_number, &positions).await?;

    let appeared = touch_session(tx, Touch { session: id, at: now }, open.grace, now).await?;
    let sql = "UPDATE session SET last_checkpoint = $1, stream_id = $1, instance_id = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![number.into(), open.instance.into(), id.0.into()]).await?;
    let appeared = if appeared { live_topics(tx, &[id.0]).await? } else { Vec::new() };
    let expires_at = Millis(dialect::get(&row, "expires_at")?);
    let next_join_number = JoinNumber(next_join_number.unsigned_abs());
    let joins_version = dialect::get(&row, "joins_version")?;
    let opened = OpenedStream {
        stream: StreamId(number.unsigned_abs()),
        next_join_number,
        joins_version,
        joins,
        left,
        resumed,
        expires_at,
        appeared,
    };
    Ok(Ok((opened, durability)))
}

/// What an id that has been brought back says, remembered as the session's last; `None` where its checkpoint is gone.
/// To hold an id proves everything before it: older checkpoints go.
async fn brought_back(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(JoinNumber, Progress)],
    next: i64,
) -> Result<Option<Checkpoint>, StoreError> {
    let Some(base) = read(tx, session, number, moved).await? else {
        return Ok(None);
    };
    let sql = "UPDATE session SET resume_checkpoint = $1, resume_moved = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![number.into(), positions_to_bytes(moved).into(), session.0.into()]).await?;
    let oldest = number.min(next - KEPT_BEHIND);
    let sql = "DELETE FROM checkpoint WHERE session_id = $1 AND number < $2";
    dialect::exec(tx, sql, vec![session.0.into(), oldest.into()]).await?;
    Ok(Some(base))
}

async fn last_brought_back(tx: &Transaction, session: SessionId, row: &Row) -> Result<Option<Checkpoint>, StoreError> {
    let number: Option<i64> = dialect::get(row, "resume_checkpoint")?;
    let moved: Option<Vec<u8>> = dialect::get(row, "resume_moved")?;
    let (Some(number), Some(moved)) = (number, moved) else {
        return Ok(None);
    };
    let moved = positions_from_bytes(&moved).ok_or(StoreError::Corrupt("positions"))?;
    read(tx, session, number, &moved).await
}

/// A checkpoint with what has moved since.
async fn read(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(JoinNumber, Progress)],
) -> Result<Option<Checkpoint>, StoreError> {
    let sql = "SELECT next_join_number, positions FROM checkpoint WHERE session_id = $1 AND number = $2";
    let Some(row) = dialect::row(tx, sql, vec![session.0.into(), number.into()]).await? else {
        return Ok(None);
    };
    let stored: Vec<u8> = dialect::get(&row, "positions")?;
    let mut positions: BTreeMap<_, _> =
        positions_from_bytes(&stored).ok_or(StoreError::Corrupt("positions"))?.into_iter().collect();
    positions.extend(moved.iter().copied());
    let next_join_number: i32 = dialect::get(&row, "next_join_number")?;
    Ok(Some(Checkpoint { next_join_number: next_join_number.unsigned_abs(), positions }))
}

type Placed = (Vec<StreamJoin>, Vec<(JoinNumber, TopicId, LeaveReason)>);

/// Where each join of the session stands, and what has ended untold. What is proven to have been told is forgotten.
async fn place(
    tx: &Transaction,
    session: SessionId,
    base: Option<&Checkpoint>,
    at_end: bool,
) -> Result<Placed, StoreError> {
    let sql = "SELECT j.topic_id, j.join_number, j.position, j.ended, t.name, t.last_seq FROM joined j \
               JOIN topic t ON t.id = j.topic_id WHERE j.session_id = $1 ORDER BY j.join_number";
    let (mut joins, mut left) = (Vec::new(), Vec::new());
    for row in dialect::rows(tx, sql, vec![session.0.into()]).await? {
        let join_number = join_number(&row)?;
        let key: TopicKey = dialect::get(&row, "topic_id")?;
        let topic = TopicId::stored(&dialect::get::<String>(&row, "name")?);
        let reached = base.and_then(|base| base.positions.get(&join_number).copied());
        let Some(ended) = dialect::get::<Option<i16>>(&row, "ended")? else {
            let joined = Seq(dialect::get(&row, "position")?);
            let last_seq = Seq(dialect::get(&row, "last_seq")?);
            let position = match reached {
                _ if at_end => last_seq,
                // An id moves its own stream only, between where it joined and what the database holds.
                Some(Progress::SentUpTo(seq)) => seq.clamp(joined, last_seq),
                _ => joined,
            };
            joins.push(StreamJoin { join_number, key, topic, position, last_seq });
            continue;
        };
        let gone_by_then = base.is_some_and(|base| join_number.0 < base.next_join_number && reached.is_none());
        if gone_by_then || reached == Some(Progress::EndSent) {
            let sql = "DELETE FROM joined WHERE session_id = $1 AND topic_id = $2 AND ended IS NOT NULL";
            dialect::exec(tx, sql, vec![session.0.into(), key.into()]).await?;
        } else {
            left.push((join_number, topic, LeaveReason::read(ended)?));
        }
    }
    Ok((joins, left))
}

async fn insert(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    next_join_number: i32,
    positions: &[(JoinNumber, Progress)],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO checkpoint (session_id, number, next_join_number, positions) VALUES ($1, $2, $3, $4)";
    let values = vec![session.0.into(), number.into(), next_join_number.into(), positions_to_bytes(positions).into()];
    dialect::exec(tx, sql, values).await?;
    if number <= KEPT {
        return Ok(());
    }
    // The one that the session brought back last stays: a stream without an id starts from it.
    let sql = "DELETE FROM checkpoint WHERE session_id = $1 AND number <= $2 \
               AND number <> COALESCE((SELECT resume_checkpoint FROM session WHERE id = $1), 0)";
    dialect::exec(tx, sql, vec![session.0.into(), (number - KEPT).into()]).await.map(drop)
}

#[cfg(test)]
mod tests;
