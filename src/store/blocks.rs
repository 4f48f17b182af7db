//! Blocks: who wants no direct messages with whom.
//!
//! A block, a join and a send of one direct message wait for each other at its topic's row: what a block has ended when
//! it commits stays ended.

use super::joins::end_joins;
use super::pool::{Connection, Row};
use super::{JoinEnd, LeaveReason, Store, StoreError, TopicKey, dialect, topics, users};
use crate::model::{Millis, SessionId, TopicId, User, UserId};

/// Somebody who is blocked.
#[derive(Clone, Debug)]
pub struct Block {
    /// Whom.
    pub user: User,
    /// Since when.
    pub created_at: Millis,
}

/// What a block has ended.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The direct message's key.
    pub topic: TopicKey,
    /// The sessions of both sides that had joined it.
    pub sessions: Vec<SessionId>,
}

impl Store {
    /// Blocks, and ends both sides' joins of `dm`, the direct message of the two; a repeat keeps the first time.
    pub async fn block(&self, dm: TopicId, blocker: UserId, blocked: UserId) -> Result<Blocked, StoreError> {
        let now = self.now();
        self.change(move |tx| {
            Box::pin(async move {
                // A direct message that nobody has opened has no row to wait at.
                topics::ensure(tx, &dm, now).await?;
                let topic = topics::find(tx, &dm, dialect::for_update(tx)).await?;
                let topic = topic.ok_or(StoreError::Corrupt("topic"))?.key;
                let sql = "INSERT INTO block (blocker_id, blocked_id, created_at) VALUES ($1, $2, $3) \
                           ON CONFLICT DO NOTHING";
                dialect::exec(tx, sql, vec![blocker.as_str().into(), blocked.as_str().into(), now.0.into()]).await?;
                let end = JoinEnd { reason: LeaveReason::Blocked, last: None };
                Ok(Blocked { topic, sessions: end_joins(tx, topic, None, end).await? })
            })
        })
        .await
    }

    /// Lifts a block of `dm`, where there is one.
    pub async fn unblock(&self, dm: TopicId, blocker: UserId, blocked: UserId) -> Result<(), StoreError> {
        self.change(move |tx| {
            Box::pin(async move {
                // Behind a block that is on its way: it is lifted as well.
                topics::find(tx, &dm, dialect::for_update(tx)).await?;
                let sql = "DELETE FROM block WHERE blocker_id = $1 AND blocked_id = $2";
                dialect::exec(tx, sql, vec![blocker.as_str().into(), blocked.as_str().into()]).await.map(drop)
            })
        })
        .await
    }

    /// Whom a user blocks, in the order of ids, beyond `after`.
    pub async fn blocks_of(&self, user: &UserId, after: Option<&UserId>, limit: u64) -> Result<Vec<Block>, StoreError> {
        let sql = "SELECT b.blocked_id AS user_id, u.username, b.created_at FROM block b \
                   JOIN \"user\" u ON u.id = b.blocked_id WHERE b.blocker_id = $1 AND b.blocked_id > $2 \
                   ORDER BY b.blocked_id LIMIT $3";
        let after = after.map_or("", UserId::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = dialect::rows(self.read(), sql, vec![user.as_str().into(), after.into(), limit.into()]).await?;
        let block =
            |row: &Row| Ok(Block { user: users::user(row)?, created_at: Millis(dialect::get(row, "created_at")?) });
        rows.iter().map(block).collect()
    }

    /// Whether either of a direct message's two users blocks the other; of other topics, nobody does.
    pub async fn is_blocked(&self, topic: &TopicId) -> Result<bool, StoreError> {
        is_blocked(self.read(), topic).await
    }
}

/// [`Store::is_blocked`] within a transaction, which holds the topic's row: in an earlier statement, or this sees the
/// past.
pub(super) async fn is_blocked(on: &impl Connection, topic: &TopicId) -> Result<bool, StoreError> {
    let Some((one, other)) = topic.dm_users() else {
        return Ok(false);
    };
    let sql = "SELECT 1 AS one FROM block WHERE (blocker_id = $1 AND blocked_id = $2) \
               OR (blocker_id = $2 AND blocked_id = $1)";
    Ok(dialect::row(on, sql, vec![one.as_str().into(), other.as_str().into()]).await?.is_some())
}
