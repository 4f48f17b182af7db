//! Joins: which session listens to which topic.
//!
//! Every transaction that changes joins locks in one order: topics, then sessions, then joins; or two of them could wait
//! for each other.

use std::time::Duration;

use sea_orm::Value;

use super::pool::{Durability, Row, Transaction};
use super::sessions::{live_topics, touch_session};
use super::{Store, StoreError, TopicKey, TopicRow, Touch, blocks, dialect, topics};
use crate::model::event_id::Slot;
use crate::model::group::Standing;
use crate::model::{Millis, Seq, SessionId, TopicId, TopicKind, UserId};

/// What a session asks for.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Who.
    pub session: SessionId,
    /// What.
    pub topic: TopicId,
    /// Whether to receive without being shown; `None` leaves a join that exists as it is.
    pub hidden: Option<bool>,
    /// How many joins a session may have.
    pub max: usize,
    /// For how long this call keeps the session online.
    pub grace: Duration,
}

/// A join that lasts.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The topic as it was then.
    pub topic: TopicRow,
    /// The join's number in event ids.
    pub slot: Slot,
    /// The newest entry when it was joined.
    pub position: Seq,
    /// Receives without being shown.
    pub hidden: bool,
}

/// A join that was made or repeated.
#[derive(Clone, Debug)]
pub struct JoinMade {
    /// The join.
    pub join: Joined,
    /// The topics on which the session has appeared by calling.
    pub appeared: Vec<TopicKey>,
}

/// Why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// The session lives no more.
    SessionEnded,
    /// There is no such topic for this user.
    NoTopic,
    /// It has as many joins as it may.
    TooMany,
    /// One of the two users of the direct message blocks the other.
    Blocked,
}

/// How a join ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// The session left, or its user the group.
    Left,
    /// The user was removed from the group.
    Kicked,
    /// The user was banned from the group.
    Banned,
    /// One of the two users blocks the other.
    Blocked,
    /// The group is no more.
    GroupDeleted,
}

impl LeaveReason {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::Blocked => "blocked",
            Self::GroupDeleted => "group_deleted",
        }
    }

    fn stored(self) -> i16 {
        match self {
            Self::Left => 0,
            Self::Kicked => 1,
            Self::Banned => 2,
            Self::Blocked => 3,
            Self::GroupDeleted => 4,
        }
    }

    pub(super) fn read(stored: i16) -> Result<Self, StoreError> {
        match stored {
            0 => Ok(Self::Left),
            1 => Ok(Self::Kicked),
            2 => Ok(Self::Banned),
            3 => Ok(Self::Blocked),
            4 => Ok(Self::GroupDeleted),
            _ => Err(StoreError::Corrupt("reason of a leave")),
        }
    }
}

/// The end of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinEnd {
    /// How it ended.
    pub reason: LeaveReason,
    /// The entry that ended it: the last that a stream may show. Without one, it ends at once.
    pub last: Option<Seq>,
}

/// A join that has ended.
#[derive(Clone, Debug)]
pub struct EndedJoin {
    /// Its number in event ids.
    pub slot: Slot,
    /// The topic's key.
    pub key: TopicKey,
    /// The topic's id.
    pub topic: TopicId,
    /// The newest entry when it was joined.
    pub position: Seq,
    /// How it ended.
    pub end: JoinEnd,
}

/// Ends that nobody came to hear of are kept for so many of a session's latest joins.
const ENDED_KEPT: i32 = 1_000;

const JOINED: &str = "SELECT t.id, t.name, t.last_seq, t.last_at, t.created_at, j.slot, j.position, j.hidden, j.ended \
                      FROM joined j JOIN topic t ON t.id = j.topic_id";

impl Store {
    /// Joins; a repeat moves nothing.
    pub async fn join(&self, joining: Joining) -> Result<Result<JoinMade, JoinRefused>, StoreError> {
        let now = self.now();
        // A client sees in `ready` what it has joined, and in a refusal that it has not.
        self.change_delayed(|_| Durability::Delayed, move |tx| Box::pin(async move { join(tx, &joining, now).await }))
            .await
    }

    /// Leaves. Answers the topic's key, where the session had joined it.
    pub async fn leave(
        &self,
        session: SessionId,
        topic: &TopicId,
        reason: LeaveReason,
    ) -> Result<Option<TopicKey>, StoreError> {
        let topic = topic.clone();
        self.change(move |tx| {
            Box::pin(async move {
                let Some(topic) = topics::find(tx, &topic, "").await? else {
                    return Ok(None);
                };
                let sql = "UPDATE session SET joins = joins + 1 WHERE id = $1";
                dialect::exec(tx, sql, vec![session.0.into()]).await?;
                let sql = "UPDATE joined SET ended = $1 WHERE session_id = $2 AND topic_id = $3 AND ended IS NULL";
                let values = vec![reason.stored().into(), session.0.into(), topic.key.into()];
                let left = dialect::exec(tx, sql, values).await? > 0;
                let sql = "DELETE FROM joined WHERE session_id = $1 AND ended IS NOT NULL \
                           AND slot < (SELECT next_slot FROM session WHERE id = $1) - $2";
                dialect::exec(tx, sql, vec![session.0.into(), ENDED_KEPT.into()]).await?;
                Ok(left.then_some(topic.key))
            })
        })
        .await
    }

    /// What a session has joined, the version of that, and the slot that its next join gets.
    pub async fn versioned_joins_of(&self, session: SessionId) -> Result<(i64, Slot, Vec<Joined>), StoreError> {
        // The version first: what changes in between is read twice rather than never.
        let sql = "SELECT joins, next_slot FROM session WHERE id = $1";
        let (version, next_slot) = match dialect::row(self.read(), sql, vec![session.0.into()]).await? {
            Some(row) => (dialect::get(&row, "joins")?, dialect::get::<i32>(&row, "next_slot")?),
            None => (0, 0),
        };
        Ok((version, Slot(next_slot.unsigned_abs()), self.joins_of(session).await?))
    }

    /// What a session has joined, in the order of joining.
    pub async fn joins_of(&self, session: SessionId) -> Result<Vec<Joined>, StoreError> {
        let sql = format!("{JOINED} WHERE j.session_id = $1 AND j.ended IS NULL ORDER BY j.slot");
        dialect::rows(self.read(), sql, vec![session.0.into()]).await?.iter().map(joined).collect()
    }

    /// The session's joins from this slot on that have ended and were not made anew.
    pub async fn ended_joins(&self, session: SessionId, from: Slot) -> Result<Vec<EndedJoin>, StoreError> {
        let sql = "SELECT j.slot, j.topic_id, j.position, j.ended, j.ended_seq, t.name FROM joined j \
                   JOIN topic t ON t.id = j.topic_id \
                   WHERE j.session_id = $1 AND j.ended IS NOT NULL AND j.slot >= $2 ORDER BY j.slot";
        let from = i32::try_from(from.0).unwrap_or(i32::MAX);
        let rows = dialect::rows(self.read(), sql, vec![session.0.into(), from.into()]).await?;
        let ended = |row: &Row| {
            let reason = LeaveReason::read(dialect::get(row, "ended")?)?;
            let last = dialect::get::<Option<i64>>(row, "ended_seq")?.map(Seq);
            Ok(EndedJoin {
                slot: slot(row)?,
                key: dialect::get(row, "topic_id")?,
                topic: TopicId::stored(&dialect::get::<String>(row, "name")?),
                position: Seq(dialect::get(row, "position")?),
                end: JoinEnd { reason, last },
            })
        };
        rows.iter().map(ended).collect()
    }

    /// Whether a session may speak in a topic: it lives and has joined it.
    pub async fn has_joined(&self, session: SessionId, topic: TopicKey) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM joined WHERE session_id = $1 AND topic_id = $2 AND ended IS NULL";
        Ok(dialect::row(self.read(), sql, vec![session.0.into(), topic.into()]).await?.is_some())
    }
}

async fn join(tx: &Transaction, joining: &Joining, now: Millis) -> Result<Result<JoinMade, JoinRefused>, StoreError> {
    // Who may see a room never changes. A DM's and a group's row is locked against a block or a kick in between.
    let lock = if joining.topic.kind() == TopicKind::Room { "" } else { dialect::for_share(tx) };
    if let Some(topic) = topics::find(tx, &joining.topic, lock).await? {
        return join_existing(tx, joining, topic, now).await;
    }
    if joining.topic.kind() == TopicKind::Group {
        return Ok(Err(JoinRefused::NoTopic));
    }
    // A join that is refused makes no topic. To undo is safe where to delete is not: a row that somebody else has committed
    // meanwhile, to join or to block, is none of what this undoes.
    let attempt = tx.begin().await?;
    topics::ensure(&attempt, &joining.topic, now).await?;
    let topic = topics::find(&attempt, &joining.topic, lock).await?.ok_or(StoreError::Corrupt("topic"))?;
    let joined = join_existing(&attempt, joining, topic, now).await?;
    if joined.is_ok() {
        attempt.commit().await?;
    } else {
        attempt.rollback().await?;
    }
    Ok(joined)
}

/// Whether the session's user belongs to the group whose topic it is; everywhere else they do.
async fn is_member(tx: &Transaction, joining: &Joining) -> Result<bool, StoreError> {
    let Some(group) = joining.topic.group_id() else {
        return Ok(true);
    };
    let sql = "SELECT m.standing FROM group_member m JOIN session s ON s.user_id = m.user_id \
               WHERE s.id = $1 AND m.group_id = $2 AND m.standing <= $3";
    let values = vec![joining.session.0.into(), group.0.into(), Standing::Member.stored().into()];
    Ok(dialect::row(tx, sql, values).await?.is_some())
}

async fn join_existing(
    tx: &Transaction,
    joining: &Joining,
    topic: TopicRow,
    now: Millis,
) -> Result<Result<JoinMade, JoinRefused>, StoreError> {
    let session = joining.session.0;
    let sql = format!(
        "SELECT next_slot FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![session.into(), now.0.into()]).await? else {
        return Ok(Err(JoinRefused::SessionEnded));
    };
    // Both in later statements than the topic's lock, which may have waited for a kick or a block.
    if !is_member(tx, joining).await? {
        return Ok(Err(JoinRefused::NoTopic));
    }
    if blocks::is_blocked(tx, &topic.id).await? {
        return Ok(Err(JoinRefused::Blocked));
    }
    let next_slot: i32 = dialect::get(&row, "next_slot")?;
    let appeared = touch_session(tx, Touch { session: joining.session, at: now }, joining.grace, now).await?;
    // Every join takes a slot, the first of them 1: there are no more than have been taken.
    let taken = usize::try_from(next_slot - 1).unwrap_or_default();
    let appeared = if appeared && taken > 0 { live_topics(tx, &[session]).await? } else { Vec::new() };

    if taken > 0 {
        let sql = format!("{JOINED} WHERE j.session_id = $1 AND j.topic_id = $2 AND j.ended IS NULL");
        if let Some(row) = dialect::row(tx, sql, vec![session.into(), topic.key.into()]).await? {
            let join = show(tx, joining, joined(&row)?).await?;
            return Ok(Ok(JoinMade { join, appeared }));
        }
    }
    if taken >= joining.max && count_joins(tx, joining.session).await? >= joining.max {
        return Ok(Err(JoinRefused::TooMany));
    }
    let join = insert(tx, joining, topic, next_slot).await?;
    Ok(Ok(JoinMade { join, appeared }))
}

async fn count_joins(tx: &Transaction, session: SessionId) -> Result<usize, StoreError> {
    let sql = "SELECT COUNT(*) AS joins FROM joined WHERE session_id = $1 AND ended IS NULL";
    let joins: i64 = match dialect::row(tx, sql, vec![session.0.into()]).await? {
        Some(row) => dialect::get(&row, "joins")?,
        None => 0,
    };
    usize::try_from(joins).map_err(|_| StoreError::Corrupt("count"))
}

async fn insert(tx: &Transaction, joining: &Joining, topic: TopicRow, next_slot: i32) -> Result<Joined, StoreError> {
    let session = joining.session.0;
    let hidden = joining.hidden.unwrap_or(false);
    let sql = "INSERT INTO joined (session_id, topic_id, slot, position, hidden) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (session_id, topic_id) DO UPDATE SET slot = excluded.slot, position = excluded.position, \
               hidden = excluded.hidden, ended = NULL, ended_seq = NULL";
    let position = topic.last_seq;
    let values = vec![session.into(), topic.key.into(), next_slot.into(), position.0.into(), hidden.into()];
    dialect::exec(tx, sql, values).await?;
    dialect::exec(
        tx,
        "UPDATE session SET next_slot = next_slot + 1, joins = joins + 1 WHERE id = $1",
        vec![session.into()],
    )
    .await?;
    let slot = Slot(u32::try_from(next_slot).map_err(|_| StoreError::Corrupt("slot"))?);
    Ok(Joined { topic, slot, position, hidden })
}

/// A repeated join may show or hide the session, and nothing else.
async fn show(tx: &Transaction, joining: &Joining, mut join: Joined) -> Result<Joined, StoreError> {
    if let Some(hidden) = joining.hidden.filter(|&hidden| hidden != join.hidden) {
        let sql = "UPDATE joined SET hidden = $1 WHERE session_id = $2 AND topic_id = $3";
        dialect::exec(tx, sql, vec![hidden.into(), joining.session.0.into(), join.topic.key.into()]).await?;
        join.hidden = hidden;
    }
    Ok(join)
}

/// Ends the joins of a topic whose row this transaction has locked: those of one user, or everybody's. Answers the
/// sessions that had joined.
pub(super) async fn end_joins(
    tx: &Transaction,
    topic: TopicKey,
    user: Option<&UserId>,
    end: JoinEnd,
) -> Result<Vec<SessionId>, StoreError> {
    let (of_user, whose) = match user {
        Some(user) => (" AND user_id = $2", vec![topic.into(), user.as_str().into()]),
        None => ("", vec![topic.into()]),
    };
    let joined = format!("id IN (SELECT session_id FROM joined WHERE topic_id = $1 AND ended IS NULL){of_user}");
    let sql = format!("SELECT id FROM session WHERE {joined} ORDER BY id{}", dialect::for_update(tx));
    let rows = dialect::rows(tx, sql, whose).await?;
    let sessions = rows.iter().map(|row| dialect::get(row, "id").map(SessionId)).collect::<Result<Vec<_>, _>>()?;
    for some in sessions.chunks(500) {
        let sql = format!("UPDATE session SET joins = joins + 1 WHERE id IN ({})", dialect::places(1, some.len()));
        dialect::exec(tx, sql, some.iter().map(|session| session.0.into()).collect()).await?;
        let sql = format!(
            "UPDATE joined SET ended = $1, ended_seq = $2 WHERE topic_id = $3 AND ended IS NULL AND session_id IN ({})",
            dialect::places(4, some.len())
        );
        let mut values = vec![end.reason.stored().into(), end.last.map(|seq| seq.0).into(), topic.into()];
        values.extend(some.iter().map(|session| Value::from(session.0)));
        dialect::exec(tx, sql, values).await?;
    }
    Ok(sessions)
}

pub(super) fn slot(row: &Row) -> Result<Slot, StoreError> {
    let slot: i32 = dialect::get(row, "slot")?;
    u32::try_from(slot).map(Slot).map_err(|_| StoreError::Corrupt("slot"))
}

fn joined(row: &Row) -> Result<Joined, StoreError> {
    Ok(Joined {
        topic: topics::topic(row)?,
        slot: slot(row)?,
        position: Seq(dialect::get(row, "position")?),
        hidden: dialect::get(row, "hidden")?,
    })
}
