//! Blocks: which users want no direct messages with which others.
//!
//! A block, a join and a send of one direct message lock the row of its topic first, so they run one after the other: a
//! join that a block has ended stays ended when the block commits.

use parlour_entity::{block as entity, user};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};

use super::durability::Durability;
use super::leaves::{JoinEnd, LeaveReason, end_joins};
use super::pool::Connection;
use super::topics::{self, Lock};
use super::{Store, StoreError, TopicKey, users};
use crate::model::{Millis, SessionId, TopicId, User, UserId};

/// A user who is blocked.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The user who is blocked.
    pub user: User,
    /// The time of the block.
    pub created_at: Millis,
}

/// The joins that a block has ended.
#[derive(Clone, Debug)]
pub(crate) struct Blocked {
    /// The direct message's key.
    pub topic: TopicKey,
    /// The sessions of both users that had joined it.
    pub sessions: Vec<SessionId>,
}

impl Store {
    /// Blocks a user, and ends both users' joins of `dm`, their direct message. A repeat keeps the time of the first block.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn block(&self, dm: TopicId, blocker: UserId, blocked: UserId) -> Result<Blocked, StoreError> {
        let now = self.now();
        let block = entity::ActiveModel {
            blocker_id: Set(blocker.as_str().to_owned()),
            blocked_id: Set(blocked.as_str().to_owned()),
            created_at: Set(now.0),
        };
        let block = entity::Entity::insert(block).on_conflict(OnConflict::new().do_nothing().to_owned());
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // A direct message that nobody has opened has no row to lock.
                topics::ensure(tx, &dm, now).await?;
                let topic = topics::find(tx, &dm, Lock::Exclusive).await?;
                let topic = topic.ok_or(StoreError::Corrupt("topic"))?.key;
                block.exec_without_returning(tx).await?;
                let end = JoinEnd { reason: LeaveReason::Blocked, last: None };
                Ok(Blocked { topic, sessions: end_joins(tx, topic, None, end).await? })
            })
        })
        .await
    }

    /// Removes a block of `dm`, if there is one.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn unblock(&self, dm: TopicId, blocker: UserId, blocked: UserId) -> Result<(), StoreError> {
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // The lock waits for a block that is about to commit: that block is removed as well.
                topics::find(tx, &dm, Lock::Exclusive).await?;
                entity::Entity::delete_by_id((blocker.as_str().into(), blocked.as_str().into())).exec(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Returns the first `limit` users whom a user blocks, ordered by id, after the id `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn blocks_of(
        &self,
        user: &UserId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<Block>, StoreError> {
        let found = entity::Entity::find()
            .find_both_related(user::Entity)
            .filter(entity::Column::BlockerId.eq(user.as_str()))
            .filter(entity::Column::BlockedId.gt(after.map_or("", UserId::as_str)))
            .order_by_asc(entity::Column::BlockedId)
            .limit(limit)
            .all(self.read())
            .await?;
        let block = |(block, user): (entity::Model, user::Model)| {
            Ok(Block { user: users::named(&user.id, user.username)?, created_at: Millis(block.created_at) })
        };
        found.into_iter().map(block).collect()
    }

    /// Returns true if either of a direct message's two users blocks the other; false for any other topic.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn is_blocked(&self, topic: &TopicId) -> Result<bool, StoreError> {
        is_blocked(self.read(), topic).await
    }
}

/// [`Store::is_blocked`] within a transaction. The transaction has locked the topic's row in an earlier statement, or at
/// READ COMMITTED this would not see a block that the lock waited for.
pub(super) async fn is_blocked(on: &impl Connection, topic: &TopicId) -> Result<bool, StoreError> {
    let Some((one, other)) = topic.dm_users() else {
        return Ok(false);
    };
    let blocks = |blocker: &UserId, blocked: &UserId| {
        Condition::all()
            .add(entity::Column::BlockerId.eq(blocker.as_str()))
            .add(entity::Column::BlockedId.eq(blocked.as_str()))
    };
    let either = Condition::any().add(blocks(&one, &other)).add(blocks(&other, &one));
    Ok(entity::Entity::find().filter(either).one(on).await?.is_some())
}
