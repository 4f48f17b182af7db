//! Leaves: how joins end.
//!
//! A join that has ended keeps its row until the session's client has received the end, or joins the topic again.

use parlour_entity::{joined, session, topic};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::durability::Durability;
use super::pool::Transaction;
use super::topics::{self, Lock};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::event_id::JoinNumber;
use crate::model::{Seq, SessionId, TopicId, UserId};

/// The reason why a join ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaveReason {
    /// The session left the topic, or its user left the group.
    Left,
    /// The user was removed from the group.
    Kicked,
    /// The user was banned from the group.
    Banned,
    /// One of the two users of the direct message blocks the other.
    Blocked,
    /// The group was deleted.
    GroupDeleted,
}

impl LeaveReason {
    /// Returns the word for it in the event `left`.
    pub(crate) fn as_str(self) -> &'static str {
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
pub(crate) struct JoinEnd {
    /// The reason.
    pub reason: LeaveReason,
    /// The seq of the entry that ended the join, the last one that a stream may send; `None` if the join ends at once.
    pub last: Option<Seq>,
}

/// A join that has ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedJoin {
    /// The join's number in event ids.
    pub join_number: JoinNumber,
    /// The topic's key.
    pub key: TopicKey,
    /// The topic's id.
    pub topic: TopicId,
    /// The seq of the newest entry at the time of the join.
    pub position: Seq,
    /// The end.
    pub end: JoinEnd,
}

/// Ended joins that no client has received are kept if they are among so many latest joins of their session.
const MAX_ENDED_JOINS: i32 = 1_000;

/// Sessions whose joins one statement ends at most.
const BATCH_SESSIONS: usize = 512;

impl Store {
    /// Ends a session's join. Returns the topic's key; `None` if the session had not joined it.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn leave(
        &self,
        session: SessionId,
        topic: &TopicId,
        reason: LeaveReason,
    ) -> Result<Option<TopicKey>, StoreError> {
        let topic = topic.clone();
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                let Some(topic) = topics::find(tx, &topic, Lock::None).await? else {
                    return Ok(None);
                };
                // This locks the session's row before the join's, as every transaction does that locks both.
                increase_joins_version(tx, &[session.0]).await?;
                let left = joined::Entity::update_many()
                    .col_expr(joined::Column::Ended, Expr::value(reason.stored()))
                    .filter(joined::Column::SessionId.eq(session.0))
                    .filter(joined::Column::TopicId.eq(topic.key))
                    .filter(joined::Column::Ended.is_null())
                    .exec(tx)
                    .await?;
                // Raw: one statement that compares with another row.
                let sql = "DELETE FROM joined WHERE session_id = $1 AND ended IS NOT NULL \
                           AND join_number < (SELECT next_join_number FROM session WHERE id = $1) - $2";
                dialect::exec(tx, sql, vec![session.0.into(), MAX_ENDED_JOINS.into()]).await?;
                Ok((left.rows_affected > 0).then_some(topic.key))
            })
        })
        .await
    }

    /// Returns the session's joins from the number `from` on that have ended and were not made again.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn ended_joins(&self, session: SessionId, from: JoinNumber) -> Result<Vec<EndedJoin>, StoreError> {
        let found = joined::Entity::find()
            .find_both_related(topic::Entity)
            .filter(joined::Column::SessionId.eq(session.0))
            .filter(joined::Column::Ended.is_not_null())
            .filter(joined::Column::JoinNumber.gte(i32::try_from(from.0).unwrap_or(i32::MAX)))
            .order_by_asc(joined::Column::JoinNumber)
            .all(self.read())
            .await?;
        let ended = |(join, topic): (joined::Model, topic::Model)| {
            let reason = LeaveReason::read(join.ended.ok_or(StoreError::Corrupt("reason of a leave"))?)?;
            Ok(EndedJoin {
                join_number: join_number(join.join_number)?,
                key: topic.id,
                topic: TopicId::stored(&topic.name),
                position: Seq(join.position),
                end: JoinEnd { reason, last: join.ended_seq.map(Seq) },
            })
        };
        found.into_iter().map(ended).collect()
    }
}

/// Ends the joins of a topic whose row this transaction has locked: those of one user, or all. Returns the sessions that
/// had joined.
pub(super) async fn end_joins(
    tx: &Transaction,
    topic: TopicKey,
    user: Option<&UserId>,
    end: JoinEnd,
) -> Result<Vec<SessionId>, StoreError> {
    let joined_by = joined::Entity::find()
        .select_only()
        .column(joined::Column::SessionId)
        .filter(joined::Column::TopicId.eq(topic))
        .filter(joined::Column::Ended.is_null())
        .into_query();
    // Sessions are locked before their joins and in the order of their ids, as in every transaction.
    let mut joiners = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::Id.in_subquery(joined_by))
        .order_by_asc(session::Column::Id)
        .lock(LockType::Update);
    if let Some(user) = user {
        joiners = joiners.filter(session::Column::UserId.eq(user.as_str()));
    }
    let sessions: Vec<Uuid> = joiners.into_tuple().all(tx).await?;
    for some in sessions.chunks(BATCH_SESSIONS) {
        increase_joins_version(tx, some).await?;
        joined::Entity::update_many()
            .col_expr(joined::Column::Ended, Expr::value(end.reason.stored()))
            .col_expr(joined::Column::EndedSeq, Expr::value(end.last.map(|seq| seq.0)))
            .filter(joined::Column::TopicId.eq(topic))
            .filter(joined::Column::Ended.is_null())
            .filter(joined::Column::SessionId.is_in(dialect::filled(some.iter().copied())))
            .exec(tx)
            .await?;
    }
    Ok(sessions.into_iter().map(SessionId).collect())
}

/// Records that the joins of these sessions have changed, and locks the sessions' rows by that.
async fn increase_joins_version(tx: &Transaction, sessions: &[Uuid]) -> Result<(), StoreError> {
    session::Entity::update_many()
        .col_expr(session::Column::JoinsVersion, Expr::col(session::Column::JoinsVersion).add(1))
        .filter(session::Column::Id.is_in(dialect::filled(sessions.iter().copied())))
        .exec(tx)
        .await?;
    Ok(())
}

/// A join's number as the database stores it.
pub(super) fn join_number(stored: i32) -> Result<JoinNumber, StoreError> {
    u32::try_from(stored).map(JoinNumber).map_err(|_| StoreError::Corrupt("join number"))
}
