//! Forgetting: sessions that have long ended, and entries older than the history that is kept.

use std::time::Duration;

use parlour_entity::{checkpoint, joined, session};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryTrait as _};
use uuid::Uuid;

use super::pool::Connection as _;
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, Seq};

/// Rows that one transaction deletes at most: the log must not wait for a clean-up.
const CHUNK: i64 = 500;

/// A topic that was deleted before $1 and has something to be cleared away. All its joins have ended.
const DELETED: &str = "SELECT t.id FROM topic t WHERE t.deleted_at < $1 AND \
                       (EXISTS (SELECT 1 FROM message m WHERE m.topic_id = t.id) OR NOT EXISTS \
                       (SELECT 1 FROM joined j WHERE j.topic_id = t.id AND j.ended IS NOT NULL)) LIMIT 1";

/// Deletes a topic, unless a session has still to be told that its join has ended.
const DELETE: &str = "DELETE FROM topic WHERE id = $1 AND NOT EXISTS \
                      (SELECT 1 FROM joined j WHERE j.topic_id = $1 AND j.ended IS NOT NULL)";

impl Store {
    /// Deletes sessions that ended or expired more than `after` ago; answers how many, at most a chunk.
    pub async fn purge_sessions(&self, after: Duration) -> Result<usize, StoreError> {
        let before = self.now().minus(after).0;
        let sql = "SELECT id FROM session WHERE expires_at < $1 OR ended_at < $1 LIMIT $2";
        let rows = dialect::rows(self.read(), sql, vec![before.into(), CHUNK.into()]).await?;
        let ids = rows.iter().map(|row| dialect::get(row, "id")).collect::<Result<Vec<Uuid>, _>>()?;
        let count = ids.len();
        if count == 0 {
            return Ok(0);
        }
        self.change(move |tx| {
            Box::pin(async move {
                // Sessions before joins, as every transaction that locks both.
                let lock = dialect::for_update(tx);
                let sql =
                    format!("SELECT id FROM session WHERE id IN ({}) ORDER BY id{lock}", dialect::places(1, count));
                dialect::rows(tx, sql, ids.iter().map(|&id| id.into()).collect()).await?;
                let of = joined::Column::SessionId.is_in(ids.iter().copied());
                dialect::run(tx, joined::Entity::delete_many().filter(of).build(tx.backend())).await?;
                let of = checkpoint::Column::SessionId.is_in(ids.iter().copied());
                dialect::run(tx, checkpoint::Entity::delete_many().filter(of).build(tx.backend())).await?;
                dialect::run(
                    tx,
                    session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).build(tx.backend()),
                )
                .await?;
                Ok(())
            })
        })
        .await?;
        Ok(count)
    }

    /// Deletes what is left of groups that were deleted more than `after` ago: what was said there, and, once no session
    /// has to be told any more, the topic. Answers whether there may be more.
    pub async fn purge_deleted_topics(&self, after: Duration) -> Result<bool, StoreError> {
        let before = self.now().minus(after).0;
        let Some(row) = dialect::row(self.read(), DELETED, vec![before.into()]).await? else {
            return Ok(false);
        };
        let topic: TopicKey = dialect::get(&row, "id")?;
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM message WHERE topic_id = $1 AND seq IN \
                           (SELECT seq FROM message WHERE topic_id = $1 ORDER BY seq LIMIT $2)";
                if dialect::exec(tx, sql, vec![topic.into(), CHUNK.into()]).await? == 0 {
                    dialect::exec(tx, DELETE, vec![topic.into()]).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Topics beyond `after` in the order of their keys: for walks over all of them.
    pub async fn topics_after(&self, after: TopicKey) -> Result<Vec<TopicKey>, StoreError> {
        let sql = "SELECT id FROM topic WHERE id > $1 AND last_seq > 0 ORDER BY id LIMIT $2";
        let rows = dialect::rows(self.read(), sql, vec![after.into(), CHUNK.into()]).await?;
        rows.iter().map(|row| dialect::get(row, "id")).collect()
    }

    /// Deletes a topic's entries from before a time; what is left keeps its numbers. Answers the last one that is gone.
    pub async fn prune_topic(&self, topic: TopicKey, before: Millis) -> Result<Option<Seq>, StoreError> {
        let sql = "SELECT created_at FROM message WHERE topic_id = $1 ORDER BY seq LIMIT 1";
        let Some(oldest) = dialect::row(self.read(), sql, vec![topic.into()]).await? else { return Ok(None) };
        if dialect::get::<i64>(&oldest, "created_at")? >= before.0 {
            return Ok(None);
        }
        let (Some(mut from), Some(newest)) = self.ends(topic).await? else { return Ok(None) };
        let end = self.first_since(topic, before).await?.unwrap_or(newest.next());
        while from < end {
            let to = Seq(from.0.saturating_add(CHUNK)).min(end);
            let sql = "DELETE FROM message WHERE topic_id = $1 AND seq >= $2 AND seq < $3";
            let values = vec![topic.into(), from.0.into(), to.0.into()];
            self.change(move |tx| Box::pin(async move { dialect::exec(tx, sql, values).await.map(drop) })).await?;
            from = to;
        }
        Ok(Some(Seq(end.0 - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Clock, SessionId, TopicId, UserId};
    use crate::store::{NewGroup, NewSession, Pools};

    #[tokio::test]
    async fn sessions_that_have_ended_are_forgotten_and_others_are_not() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let pools = Pools::connect(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 2).await?;
        pools.migrate().await?;
        let clock = Clock::default();
        let store = Store::new(pools, clock.clone());
        let ana = NewSession::Issued { id: UserId::parse("ana").ok_or("an id")?, username: "Ana".into() };
        let (short, long) = (SessionId(clock.uuid()), SessionId(clock.uuid()));
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
        let folder = tempfile::tempdir()?;
        let pools = Pools::connect(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 2).await?;
        pools.migrate().await?;
        let clock = Clock::default();
        let store = Store::new(pools, clock.clone());
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
        store.change(move |tx| Box::pin(dialect::exec(tx, mark, vec![topic.into()]))).await?;
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
