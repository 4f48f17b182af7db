//! Streams: opening one (which takes the next generation), storing how far it has come, closing it.
//!
//! A session has one stream at a time. The generation that a stream opened with is its name: whatever ends, closes or
//! moves a stream acts only where that is still the session's latest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::joins::{LeaveReason, slot};
use super::pool::{Durability, Row, Transaction};
use super::sessions::{live_topics, touch_session};
use super::{Store, StoreError, TopicKey, Touch, dialect};
use crate::model::event_id::{EventId, Reached, Slot, positions_from_bytes, positions_to_bytes};
use crate::model::{Millis, Seq, SessionId, TopicId};

/// Generations older than the one that was brought back go, but for so many of the latest.
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
pub struct OpenStream {
    /// Whose.
    pub session: SessionId,
    /// Which instance will hold it.
    pub node: Uuid,
    /// Where it shall start.
    pub resume: Resume,
    /// The presence grace period.
    pub grace: Duration,
}

/// One topic of a stream.
#[derive(Clone, Debug)]
pub struct StreamJoin {
    /// The join's number in ids.
    pub slot: Slot,
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
pub struct Opened {
    /// Its name, and the generation that its first ids build on.
    pub generation: u64,
    /// The slot that the session's next join gets.
    pub next_slot: Slot,
    /// The version of the session's joins.
    pub joins_version: i64,
    /// What it listens to.
    pub joins: Vec<StreamJoin>,
    /// What has ended without the client having been told.
    pub left: Vec<(Slot, TopicId, LeaveReason)>,
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
    /// The generation that its latest stream opened with.
    pub stream: u64,
    /// Counts the changes of its joins.
    pub joins: i64,
}

/// Why no stream was opened: the session has ended or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRefused;

/// A stored generation.
struct Generation {
    next_slot: u32,
    positions: BTreeMap<Slot, Reached>,
}

impl Store {
    /// Opens a session's stream; from here on any other one is the session's no more.
    pub async fn open_stream(&self, open: OpenStream) -> Result<Result<Opened, StreamRefused>, StoreError> {
        let now = self.now();
        // A refusal changes nothing.
        let lasts =
            |opened: &Result<(_, Durability), _>| opened.as_ref().map_or(Durability::Delayed, |opened| opened.1);
        let opened = self.change_delayed(lasts, move |tx| Box::pin(async move { open_stream(tx, &open, now).await }));
        Ok(opened.await?.map(|(opened, _)| opened))
    }

    /// Stores how far a stream has come as the session's next generation; `None` where another stream has taken over.
    /// `next_slot` is the first slot that the stream knows nothing of.
    pub async fn store_generation(
        &self,
        session: SessionId,
        stream: u64,
        next_slot: Slot,
        positions: Vec<(Slot, Reached)>,
    ) -> Result<Option<u64>, StoreError> {
        let stream = number(stream);
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET generation = generation + 1 \
                           WHERE id = $1 AND stream = $2 AND ended_at IS NULL RETURNING generation";
                let row = dialect::row(tx, sql, vec![session.0.into(), stream.into()]).await?;
                let Some(row) = row else { return Ok(None) };
                let generation: i64 = dialect::get(&row, "generation")?;
                let next_slot = i32::try_from(next_slot.0).unwrap_or(i32::MAX);
                insert(tx, session, generation, next_slot, &positions).await?;
                Ok(Some(generation.unsigned_abs()))
            })
        })
        .await
    }

    /// Closes streams, each only where it is still its session's latest: they stay online for `grace`. Answers the
    /// topics on which their time runs from now.
    pub async fn close_streams(
        &self,
        streams: Vec<(SessionId, u64)>,
        grace: Duration,
    ) -> Result<Vec<TopicKey>, StoreError> {
        let until = self.now().plus(grace);
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET node = NULL, online_until = $1 WHERE id = $2 AND stream = $3";
                let mut closed = Vec::new();
                for (session, stream) in streams {
                    let values = vec![until.0.into(), session.0.into(), number(stream).into()];
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
    pub async fn streams_of_node(&self, node: Uuid) -> Result<Vec<(SessionId, u64)>, StoreError> {
        let sql = "SELECT id, stream FROM session WHERE node = $1";
        let rows = dialect::rows(self.read(), sql, vec![node.into()]).await?;
        let stream =
            |row: &Row| Ok((SessionId(dialect::get(row, "id")?), dialect::get::<i64>(row, "stream")?.unsigned_abs()));
        rows.iter().map(stream).collect()
    }

    /// Says once more that an instance holds these streams, where they are still their sessions' latest.
    pub async fn assert_streams(&self, node: Uuid, streams: Vec<(SessionId, u64)>) -> Result<(), StoreError> {
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET node = $1 WHERE id = $2 AND stream = $3 AND ended_at IS NULL";
                for (session, stream) in streams {
                    dialect::exec(tx, sql, vec![node.into(), session.0.into(), number(stream).into()]).await?;
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
        let sql = format!("SELECT id, stream, joins FROM session WHERE ended_at IS NULL AND id IN ({places})");
        let rows = dialect::rows(self.read(), sql, sessions.iter().map(|s| s.0.into()).collect()).await?;
        let version = |row: &Row| {
            let stream: i64 = dialect::get(row, "stream")?;
            let version = Version { stream: stream.unsigned_abs(), joins: dialect::get(row, "joins")? };
            Ok((SessionId(dialect::get(row, "id")?), version))
        };
        rows.iter().map(version).collect()
    }
}

async fn open_stream(
    tx: &Transaction,
    open: &OpenStream,
    now: Millis,
) -> Result<Result<(Opened, Durability), StreamRefused>, StoreError> {
    let id = open.session;
    let sql = format!(
        "SELECT generation, next_slot, joins, expires_at, resume_generation, resume_moved FROM session \
         WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![id.0.into(), now.0.into()]).await? else {
        return Ok(Err(StreamRefused));
    };
    let generation = dialect::get::<i64>(&row, "generation")? + 1;
    let next_slot: i32 = dialect::get(&row, "next_slot")?;
    let given = match &open.resume {
        Resume::Id(event) => brought_back(tx, id, number(event.generation), &event.moved, generation).await?,
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
    // A generation that says what the joins say by themselves may be lost: the stream would start just there again, as
    // whatever it sends is stored later. Without any other, a client would get anew what it has.
    let says_nothing = base.is_none() && !at_end && left.is_empty() && joins.iter().all(|j| j.position == j.last_seq);
    let durability = if says_nothing { Durability::Delayed } else { Durability::Full };

    let positions = joins.iter().map(|j| (j.slot, Reached::Seq(j.position)));
    let untold = left.iter().map(|(slot, ..)| (*slot, Reached::Seq(Seq(0))));
    let mut positions: Vec<_> = positions.chain(untold).collect();
    positions.sort_by_key(|(slot, _)| *slot);
    insert(tx, id, generation, next_slot, &positions).await?;

    let appeared = touch_session(tx, Touch { session: id, at: now }, open.grace, now).await?;
    let sql = "UPDATE session SET generation = $1, stream = $1, node = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![generation.into(), open.node.into(), id.0.into()]).await?;
    let appeared = if appeared { live_topics(tx, &[id.0]).await? } else { Vec::new() };
    let expires_at = Millis(dialect::get(&row, "expires_at")?);
    let next_slot = Slot(next_slot.unsigned_abs());
    let joins_version = dialect::get(&row, "joins")?;
    let opened = Opened {
        generation: generation.unsigned_abs(),
        next_slot,
        joins_version,
        joins,
        left,
        resumed,
        expires_at,
        appeared,
    };
    Ok(Ok((opened, durability)))
}

/// What an id that has been brought back says, remembered as the session's last; `None` where its generation is gone.
/// To hold an id proves everything before it: older generations go.
async fn brought_back(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(Slot, Reached)],
    next: i64,
) -> Result<Option<Generation>, StoreError> {
    let Some(base) = read(tx, session, number, moved).await? else {
        return Ok(None);
    };
    let sql = "UPDATE session SET resume_generation = $1, resume_moved = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![number.into(), positions_to_bytes(moved).into(), session.0.into()]).await?;
    let oldest = number.min(next - KEPT_BEHIND);
    let sql = "DELETE FROM generation WHERE session_id = $1 AND number < $2";
    dialect::exec(tx, sql, vec![session.0.into(), oldest.into()]).await?;
    Ok(Some(base))
}

async fn last_brought_back(tx: &Transaction, session: SessionId, row: &Row) -> Result<Option<Generation>, StoreError> {
    let number: Option<i64> = dialect::get(row, "resume_generation")?;
    let moved: Option<Vec<u8>> = dialect::get(row, "resume_moved")?;
    let (Some(number), Some(moved)) = (number, moved) else {
        return Ok(None);
    };
    let moved = positions_from_bytes(&moved).ok_or(StoreError::Corrupt("positions"))?;
    read(tx, session, number, &moved).await
}

/// A generation with what has moved since.
async fn read(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(Slot, Reached)],
) -> Result<Option<Generation>, StoreError> {
    let sql = "SELECT next_slot, positions FROM generation WHERE session_id = $1 AND number = $2";
    let Some(row) = dialect::row(tx, sql, vec![session.0.into(), number.into()]).await? else {
        return Ok(None);
    };
    let stored: Vec<u8> = dialect::get(&row, "positions")?;
    let mut positions: BTreeMap<_, _> =
        positions_from_bytes(&stored).ok_or(StoreError::Corrupt("positions"))?.into_iter().collect();
    positions.extend(moved.iter().copied());
    let next_slot: i32 = dialect::get(&row, "next_slot")?;
    Ok(Some(Generation { next_slot: next_slot.unsigned_abs(), positions }))
}

type Placed = (Vec<StreamJoin>, Vec<(Slot, TopicId, LeaveReason)>);

/// Where each join of the session stands, and what has ended untold. What is proven to have been told is forgotten.
async fn place(
    tx: &Transaction,
    session: SessionId,
    base: Option<&Generation>,
    at_end: bool,
) -> Result<Placed, StoreError> {
    let sql = "SELECT j.topic_id, j.slot, j.position, j.ended, t.name, t.last_seq FROM joined j \
               JOIN topic t ON t.id = j.topic_id WHERE j.session_id = $1 ORDER BY j.slot";
    let (mut joins, mut left) = (Vec::new(), Vec::new());
    for row in dialect::rows(tx, sql, vec![session.0.into()]).await? {
        let slot = slot(&row)?;
        let key: TopicKey = dialect::get(&row, "topic_id")?;
        let topic = TopicId::stored(&dialect::get::<String>(&row, "name")?);
        let reached = base.and_then(|base| base.positions.get(&slot).copied());
        let Some(ended) = dialect::get::<Option<i16>>(&row, "ended")? else {
            let joined = Seq(dialect::get(&row, "position")?);
            let last_seq = Seq(dialect::get(&row, "last_seq")?);
            let position = match reached {
                _ if at_end => last_seq,
                // An id moves its own stream only, between where it joined and what the database holds.
                Some(Reached::Seq(seq)) => seq.clamp(joined, last_seq),
                _ => joined,
            };
            joins.push(StreamJoin { slot, key, topic, position, last_seq });
            continue;
        };
        let gone_by_then = base.is_some_and(|base| slot.0 < base.next_slot && reached.is_none());
        if gone_by_then || reached == Some(Reached::Told) {
            let sql = "DELETE FROM joined WHERE session_id = $1 AND topic_id = $2 AND ended IS NOT NULL";
            dialect::exec(tx, sql, vec![session.0.into(), key.into()]).await?;
        } else {
            left.push((slot, topic, LeaveReason::read(ended)?));
        }
    }
    Ok((joins, left))
}

async fn insert(
    tx: &Transaction,
    session: SessionId,
    generation: i64,
    next_slot: i32,
    positions: &[(Slot, Reached)],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO generation (session_id, number, next_slot, positions) VALUES ($1, $2, $3, $4)";
    let values = vec![session.0.into(), generation.into(), next_slot.into(), positions_to_bytes(positions).into()];
    dialect::exec(tx, sql, values).await?;
    if generation <= KEPT {
        return Ok(());
    }
    // The one that the session brought back last stays: a stream without an id starts from it.
    let sql = "DELETE FROM generation WHERE session_id = $1 AND number <= $2 \
               AND number <> COALESCE((SELECT resume_generation FROM session WHERE id = $1), 0)";
    dialect::exec(tx, sql, vec![session.0.into(), (generation - KEPT).into()]).await.map(drop)
}

fn number(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
