//! How joins end.

use sea_orm::Value;

use super::join_number;
use crate::model::event_id::JoinNumber;
use crate::model::{Seq, SessionId, TopicId, UserId};
use crate::store::pool::{Row, Transaction};
use crate::store::{Store, StoreError, TopicKey, dialect, topics};

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

    pub(in crate::store) fn read(stored: i16) -> Result<Self, StoreError> {
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
    pub join_number: JoinNumber,
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

impl Store {
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
                let sql = "UPDATE session SET joins_version = joins_version + 1 WHERE id = $1";
                dialect::exec(tx, sql, vec![session.0.into()]).await?;
                let sql = "UPDATE joined SET ended = $1 WHERE session_id = $2 AND topic_id = $3 AND ended IS NULL";
                let values = vec![reason.stored().into(), session.0.into(), topic.key.into()];
                let left = dialect::exec(tx, sql, values).await? > 0;
                let sql = "DELETE FROM joined WHERE session_id = $1 AND ended IS NOT NULL \
                           AND join_number < (SELECT next_join_number FROM session WHERE id = $1) - $2";
                dialect::exec(tx, sql, vec![session.0.into(), ENDED_KEPT.into()]).await?;
                Ok(left.then_some(topic.key))
            })
        })
        .await
    }

    /// The session's joins from this join_number on that have ended and were not made anew.
    pub async fn ended_joins(&self, session: SessionId, from: JoinNumber) -> Result<Vec<EndedJoin>, StoreError> {
        let sql = "SELECT j.join_number, j.topic_id, j.position, j.ended, j.ended_seq, t.name FROM joined j \
                   JOIN topic t ON t.id = j.topic_id \
                   WHERE j.session_id = $1 AND j.ended IS NOT NULL AND j.join_number >= $2 ORDER BY j.join_number";
        let from = i32::try_from(from.0).unwrap_or(i32::MAX);
        let rows = dialect::rows(self.read(), sql, vec![session.0.into(), from.into()]).await?;
        let ended = |row: &Row| {
            let reason = LeaveReason::read(dialect::get(row, "ended")?)?;
            let last = dialect::get::<Option<i64>>(row, "ended_seq")?.map(Seq);
            Ok(EndedJoin {
                join_number: join_number(row)?,
                key: dialect::get(row, "topic_id")?,
                topic: TopicId::stored(&dialect::get::<String>(row, "name")?),
                position: Seq(dialect::get(row, "position")?),
                end: JoinEnd { reason, last },
            })
        };
        rows.iter().map(ended).collect()
    }
}

/// Ends the joins of a topic whose row this transaction has locked: those of one user, or everybody's. Answers the
/// sessions that had joined.
pub(in crate::store) async fn end_joins(
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
        let sql = format!(
            "UPDATE session SET joins_version = joins_version + 1 WHERE id IN ({})",
            dialect::places(1, some.len())
        );
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
