//! Purging: deletes sessions that ended long ago, the rest of deleted groups, and entries older than the history that is
//! kept.

use std::time::Duration;

use parlour_entity::{checkpoint, joined, message, session, topic};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::durability::Durability;
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, Seq};

/// Rows that one transaction deletes at most: the log must not wait for a clean-up.
const BATCH_ROWS: i64 = 500;

/// A topic that was deleted before $1 and has something left to be deleted. All its joins have ended. Raw, with
/// [`DELETE`]: one statement checks other tables.
const DELETED: &str = "SELECT t.id FROM topic t WHERE t.deleted_at < $1 AND \
                       (EXISTS (SELECT 1 FROM message m WHERE m.topic_id = t.id) OR NOT EXISTS \
                       (SELECT 1 FROM joined j WHERE j.topic_id = t.id AND j.ended IS NOT NULL)) LIMIT 1";

/// Deletes a topic, unless the client of a session has not received the end of its join yet.
const DELETE: &str = "DELETE FROM topic WHERE id = $1 AND NOT EXISTS \
                      (SELECT 1 FROM joined j WHERE j.topic_id = $1 AND j.ended IS NOT NULL)";

impl Store {
    /// Deletes sessions that ended or expired more than `after` ago. Returns their number, at most a batch.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn purge_sessions(&self, after: Duration) -> Result<usize, StoreError> {
        let before = self.now().minus(after).0;
        let ended =
            Condition::any().add(session::Column::ExpiresAt.lt(before)).add(session::Column::EndedAt.lt(before));
        let ids: Vec<Uuid> = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(ended)
            .limit(BATCH_ROWS.unsigned_abs())
            .into_tuple()
            .all(self.read())
            .await?;
        let count = ids.len();
        if count == 0 {
            return Ok(0);
        }
        let ids = dialect::filled(ids);
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // Sessions are locked before their joins and in the order of their ids, as in every transaction.
                let lock = session::Entity::find()
                    .select_only()
                    .column(session::Column::Id)
                    .filter(session::Column::Id.is_in(ids.iter().copied()))
                    .order_by_asc(session::Column::Id)
                    .lock(LockType::Update);
                let _locked: Vec<Uuid> = lock.into_tuple().all(tx).await?;
                let joins = joined::Column::SessionId.is_in(ids.iter().copied());
                joined::Entity::delete_many().filter(joins).exec(tx).await?;
                let checkpoints = checkpoint::Column::SessionId.is_in(ids.iter().copied());
                checkpoint::Entity::delete_many().filter(checkpoints).exec(tx).await?;
                session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec(tx).await?;
                Ok(())
            })
        })
        .await?;
        Ok(count)
    }

    /// Deletes the rest of groups that were deleted more than `after` ago: the messages, and the topic once every client has
    /// received the end of its join. Returns true if there may be more.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn purge_deleted_topics(&self, after: Duration) -> Result<bool, StoreError> {
        let before = self.now().minus(after).0;
        let Some(row) = dialect::row(self.read(), DELETED, vec![before.into()]).await? else {
            return Ok(false);
        };
        let topic: TopicKey = dialect::get(&row, "id")?;
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // Raw: a DELETE with a limit.
                let sql = "DELETE FROM message WHERE topic_id = $1 AND seq IN \
                           (SELECT seq FROM message WHERE topic_id = $1 ORDER BY seq LIMIT $2)";
                if dialect::exec(tx, sql, vec![topic.into(), BATCH_ROWS.into()]).await? == 0 {
                    dialect::exec(tx, DELETE, vec![topic.into()]).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Returns a batch of the topics that have entries, ordered by key, after the key `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn topics_after(&self, after: TopicKey) -> Result<Vec<TopicKey>, StoreError> {
        let topics = topic::Entity::find()
            .select_only()
            .column(topic::Column::Id)
            .filter(topic::Column::Id.gt(after))
            .filter(topic::Column::LastSeq.gt(0))
            .order_by_asc(topic::Column::Id)
            .limit(BATCH_ROWS.unsigned_abs());
        Ok(topics.into_tuple().all(self.read()).await?)
    }

    /// Deletes a topic's entries from before a time; the rest keeps its numbers. Returns the seq of the last one deleted.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn prune_topic(&self, topic: TopicKey, before: Millis) -> Result<Option<Seq>, StoreError> {
        let oldest = message::Entity::find()
            .select_only()
            .column(message::Column::CreatedAt)
            .filter(message::Column::TopicId.eq(topic))
            .order_by_asc(message::Column::Seq);
        let oldest: Option<i64> = oldest.into_tuple().one(self.read()).await?;
        if oldest.is_none_or(|oldest| oldest >= before.0) {
            return Ok(None);
        }
        let (Some(mut from), Some(newest)) = self.ends(topic).await? else { return Ok(None) };
        let end = self.first_since(topic, before).await?.unwrap_or(newest.next());
        while from < end {
            let to = Seq(from.0.saturating_add(BATCH_ROWS)).min(end);
            let old = message::Entity::delete_many()
                .filter(message::Column::TopicId.eq(topic))
                .filter(message::Column::Seq.gte(from.0))
                .filter(message::Column::Seq.lt(to.0));
            self.write(Durability::Full, move |tx| Box::pin(async move { Ok(old.exec(tx).await?) })).await?;
            from = to;
        }
        Ok(Some(Seq(end.0 - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Clock, SessionId, TopicId, UserId};
    use crate::store::testing::TestStore;
    use crate::store::{NewGroup, NewSession};

    #[tokio::test]
    async fn sessions_that_have_ended_are_forgotten_and_others_are_not() -> Result<(), Box<dyn std::error::Error>> {
        let clock = Clock::default();
        let store = TestStore::new(clock.clone()).await?;
        let ana = NewSession::Issued { id: UserId::parse("ana").ok_or("an id")?, username: "Ana".into() };
        let short = SessionId(clock.uuid());
        let long = SessionId(clock.uuid());
        store.open_session(short, ana.clone(), Duration::from_secs(60)).await?;
        store.open_session(long, ana, Duration::from_secs(3600)).await?;
        clock.advance(120_000);
        assert_eq!(store.purge_sessions(Duration::from_secs(600)).await?, 0, "remembered for a while");
        assert_eq!(store.purge_sessions(Duration::from_secs(30)).await?, 1);
        assert!(store.session(short).await?.is_none() && store.session(long).await?.is_some());
        Ok(())
    }

    /// However many sessions and readers there are: SQLite's one writer waits for it.
    #[tokio::test]
    async fn what_is_left_of_deleted_groups_goes_and_is_found_by_keys() -> Result<(), Box<dyn std::error::Error>> {
        let clock = Clock::default();
        let store = TestStore::new(clock.clone()).await?;
        for sql in [DELETED, DELETE] {
            let plan = dialect::rows(store.read(), format!("EXPLAIN QUERY PLAN {sql}"), vec![1.into()]).await?;
            let plan = plan.iter().map(|row| dialect::get::<String>(row, "detail")).collect::<Result<Vec<_>, _>>()?;
            assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:#?}");
        }
        let ana = UserId::parse("ana").ok_or("an id")?;
        let whose = NewSession::Issued { id: ana.clone(), username: "Ana".into() };
        store.open_session(SessionId(clock.uuid()), whose, Duration::from_secs(60)).await?;
        let new = NewGroup { name: "Group".into(), description: String::new(), open: true, max_members: 2 };
        let group = store.create_group(new, ana.clone()).await?.id;
        let topic = store.topic(&TopicId::group(group)).await?.ok_or("a topic")?.key;
        let mark = "INSERT INTO read_mark (user_id, topic_id, seq) VALUES ('ana', $1, 1)";
        store.write(Durability::Full, move |tx| Box::pin(dialect::exec(tx, mark, vec![topic.into()]))).await?;
        store.delete_group(group, ana).await?;
        clock.advance(1_000);
        while store.purge_deleted_topics(Duration::ZERO).await? {}
        for table in ["topic", "read_mark"] {
            let left = dialect::rows(store.read(), format!("SELECT 1 AS one FROM {table}"), vec![]).await?;
            assert!(left.is_empty(), "{table}");
        }
        Ok(())
    }
}
