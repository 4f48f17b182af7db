//! Read marks: how far a user has read a topic, over all their sessions. They move forward only.
//!
//! A transaction that moves marks holds their topics' locks, or moves one mark and nothing else; a send moves several, at
//! its end, in the order of users and topics. So two transactions never wait for each other.

use parlour_entity::{read_mark as entity, topic};
use sea_orm::sea_query::{Expr, IntoCondition as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, JoinType, QueryFilter as _, QuerySelect as _, RelationTrait as _};

use super::durability::Durability;
use super::pool::{Connection, Transaction};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Seq, UserId};

/// The read mark of a user in a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadMark {
    /// The seq of the newest entry.
    pub last_seq: Seq,
    /// The seq of the last entry that the user has read; 0 if there is none.
    pub read_seq: Seq,
}

impl ReadMark {
    /// Returns the number of entries after the read mark.
    pub(crate) fn unread(self) -> i64 {
        self.last_seq.0.saturating_sub(self.read_seq.0).max(0)
    }
}

/// A mark is moved forward, never back.
pub(super) const FORWARD: &str = "ON CONFLICT (user_id, topic_id) DO UPDATE SET seq = excluded.seq \
                       WHERE read_mark.seq < excluded.seq";

impl Store {
    /// Moves a user's mark forward to `seq`, at most to the newest entry. Returns the mark after that; `None` if there is no
    /// such topic.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn mark_read(
        &self,
        user: &UserId,
        topic: TopicKey,
        seq: Seq,
    ) -> Result<Option<ReadMark>, StoreError> {
        let known = read(self.read(), user, topic).await?;
        if known.is_none_or(|mark| seq.min(mark.last_seq) <= mark.read_seq) {
            return Ok(known); // nothing to write
        }
        let user = user.clone();
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // Raw: one statement reads the newest entry and moves the mark, so no entry comes between.
                let sql = format!(
                    "INSERT INTO read_mark (user_id, topic_id, seq) \
                     SELECT $1, id, CASE WHEN last_seq < $3 THEN last_seq ELSE $3 END FROM topic WHERE id = $2 {FORWARD}"
                );
                dialect::exec(tx, sql, vec![user.as_str().into(), topic.into(), seq.0.into()]).await?;
                read(tx, &user, topic).await
            })
        })
        .await
    }
}

async fn read(on: &impl Connection, user: &UserId, topic: TopicKey) -> Result<Option<ReadMark>, StoreError> {
    use sea_orm::sea_query::ExprTrait as _; // in here only, as it gives numbers a second `max`
    let user = user.as_str().to_owned();
    let own = topic::Relation::ReadMarks
        .def()
        .on_condition(move |_, marks| Expr::col((marks, entity::Column::UserId)).eq(user.as_str()).into_condition());
    let found: Option<(i64, Option<i64>)> = topic::Entity::find_by_id(topic)
        .select_only()
        .column(topic::Column::LastSeq)
        .join(JoinType::LeftJoin, own)
        .column(entity::Column::Seq)
        .into_tuple()
        .one(on)
        .await?;
    let mark = |(last, read): (i64, Option<i64>)| ReadMark { last_seq: Seq(last), read_seq: Seq(read.unwrap_or(0)) };
    Ok(found.map(mark))
}

/// The statement that moves a user's mark (`$1`) in a topic (`$2`) forward to an entry (`$3`). Raw: every send runs it.
pub(super) fn set() -> String {
    format!("INSERT INTO read_mark (user_id, topic_id, seq) VALUES ($1, $2, $3) {FORWARD}")
}

/// Moves a user's mark forward to this entry, which exists.
pub(super) async fn set_at_least(tx: &Transaction, user: &UserId, topic: TopicKey, seq: Seq) -> Result<(), StoreError> {
    dialect::exec(tx, set(), vec![user.as_str().into(), topic.into(), seq.0.into()]).await?;
    Ok(())
}

/// Moves a user's mark to this entry if they had read everything before it: a user's own act is not unread to them, and it
/// does not mark as read what they have not read.
pub(super) async fn follow(tx: &Transaction, user: &UserId, topic: TopicKey, seq: Seq) -> Result<(), StoreError> {
    if seq.0 <= 1 {
        return set_at_least(tx, user, topic, seq).await; // before the first entry there may be no mark yet
    }
    entity::Entity::update_many()
        .col_expr(entity::Column::Seq, Expr::value(seq.0))
        .filter(entity::Column::UserId.eq(user.as_str()))
        .filter(entity::Column::TopicId.eq(topic))
        .filter(entity::Column::Seq.eq(seq.0 - 1))
        .exec(tx)
        .await?;
    Ok(())
}

/// Deletes a user's mark.
pub(super) async fn forget(tx: &Transaction, user: &UserId, topic: TopicKey) -> Result<(), StoreError> {
    entity::Entity::delete_by_id((user.as_str().into(), topic)).exec(tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::testing::TestStore;
    use crate::store::topics;

    const TOPIC: TopicKey = 1;

    /// A change of the mark.
    #[derive(Clone, Copy)]
    enum Step {
        Follow(i64),
        AtLeast(i64),
        Forget,
    }

    #[tokio::test]
    async fn a_mark_follows_ones_own_acts_only_where_everything_before_was_read()
    -> Result<(), Box<dyn std::error::Error>> {
        let store = TestStore::new(Clock::default()).await?;
        let ana = UserId::parse("ana").ok_or("an id")?;
        let room = crate::model::TopicId::stored("room:a");
        let now = store.now();
        store
            .write(Durability::Full, move |tx| {
                Box::pin(async move {
                    topics::ensure(tx, &room, now).await?;
                    dialect::exec(tx, "UPDATE topic SET last_seq = 9", vec![]).await
                })
            })
            .await?;
        // Each step with the mark after it.
        let steps = [
            (Step::Follow(2), 0),
            (Step::Follow(1), 1),
            (Step::Follow(2), 2),
            (Step::Follow(4), 2),
            (Step::AtLeast(5), 5),
            (Step::AtLeast(3), 5),
            (Step::Follow(3), 5),
            (Step::Follow(6), 6),
            (Step::Forget, 0),
            (Step::AtLeast(7), 7),
        ];
        for (at, (step, stands)) in steps.into_iter().enumerate() {
            let user = ana.clone();
            let work = store.write(Durability::Full, move |tx| {
                Box::pin(async move {
                    match step {
                        Step::Follow(seq) => follow(tx, &user, TOPIC, Seq(seq)).await,
                        Step::AtLeast(seq) => set_at_least(tx, &user, TOPIC, Seq(seq)).await,
                        Step::Forget => forget(tx, &user, TOPIC).await,
                    }
                })
            });
            work.await?;
            let mark = read(store.read(), &ana, TOPIC).await?.ok_or("a topic")?;
            assert_eq!((mark.read_seq, mark.unread()), (Seq(stands), 9 - stands), "step {at}");
        }
        Ok(())
    }
}
