//! Topics, without what was said in them.

use sea_orm::DbBackend;

use super::pool::{Connection, Row};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, Seq, TopicId};

/// A topic as the database holds it.
#[derive(Clone, Debug)]
pub struct TopicRow {
    /// Its short key.
    pub key: TopicKey,
    /// Its id.
    pub id: TopicId,
    /// The newest entry.
    pub last_seq: Seq,
    /// When that was made.
    pub last_at: Millis,
    /// When the topic was made.
    pub created_at: Millis,
}

pub(super) const TOPIC: &str = "SELECT id, name, last_seq, last_at, created_at FROM topic";

impl Store {
    /// A topic, where it has been made.
    pub async fn topic(&self, id: &TopicId) -> Result<Option<TopicRow>, StoreError> {
        find(self.read(), id, "").await
    }

    /// The newest entry of each of these topics.
    pub async fn last_seqs(&self, keys: &[TopicKey]) -> Result<Vec<(TopicKey, Seq)>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT id, last_seq FROM topic WHERE id IN ({})", dialect::places(1, keys.len()));
        let rows = dialect::rows(self.read(), sql, keys.iter().map(|&key| key.into()).collect()).await?;
        rows.iter().map(|row| Ok((dialect::get(row, "id")?, Seq(dialect::get(row, "last_seq")?)))).collect()
    }
}

/// A topic by its id; `lock` is a clause of `dialect`.
pub(super) async fn find(on: &impl Connection, id: &TopicId, lock: &str) -> Result<Option<TopicRow>, StoreError> {
    let row = dialect::row(on, format!("{TOPIC} WHERE name = $1{lock}"), vec![id.as_str().into()]).await?;
    row.map(|row| topic(&row)).transpose()
}

/// Makes a topic unless it exists. A direct message is listed with both of its users by that.
pub(super) async fn ensure(on: &impl Connection, id: &TopicId, now: Millis) -> Result<(), StoreError> {
    let sql = "INSERT INTO topic (name, last_seq, last_at, created_at) VALUES ($1, 0, 0, $2) \
               ON CONFLICT (name) DO NOTHING";
    dialect::exec(on, sql, vec![id.as_str().into(), now.0.into()]).await?;
    let Some((one, other)) = id.dm_users() else { return Ok(()) };
    let sql = "INSERT INTO dm (user_id, topic_id) VALUES ($1, (SELECT id FROM topic WHERE name = $3)), \
               ($2, (SELECT id FROM topic WHERE name = $3)) ON CONFLICT (user_id, topic_id) DO NOTHING";
    dialect::exec(on, sql, vec![one.as_str().into(), other.as_str().into(), id.as_str().into()]).await.map(drop)
}

/// The topics of these ids, locked in the order of their keys, as every transaction that locks several does.
pub(super) async fn lock_all(on: &impl Connection, ids: &[&TopicId]) -> Result<Vec<TopicRow>, StoreError> {
    if on.backend() != DbBackend::Postgres {
        // One by one: SQLite finds each at once, and would make a table of a list first.
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(find(on, id, "").await?);
        }
        return Ok(found);
    }
    let values = dialect::filled(ids.iter().map(|id| id.as_str().into()));
    let places = dialect::places(1, values.len());
    let sql = format!("{TOPIC} WHERE name IN ({places}) ORDER BY id FOR UPDATE");
    dialect::rows(on, sql, values).await?.iter().map(topic).collect()
}

pub(super) fn topic(row: &Row) -> Result<TopicRow, StoreError> {
    Ok(TopicRow {
        key: dialect::get(row, "id")?,
        id: TopicId::stored(&dialect::get::<String>(row, "name")?),
        last_seq: Seq(dialect::get(row, "last_seq")?),
        last_at: Millis(dialect::get(row, "last_at")?),
        created_at: Millis(dialect::get(row, "created_at")?),
    })
}
