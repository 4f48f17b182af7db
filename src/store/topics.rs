//! Topics, without what was said in them.

use sea_orm::DbBackend;
use uuid::Uuid;

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

const TOPIC: &str = "SELECT id, name, last_seq, last_at, created_at FROM topic";

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
    lock_with_sessions(on, ids, &[]).await
}

/// As [`lock_all`], and behind them these sessions, in order, each shared with whoever else needs it as it is.
pub(super) async fn lock_with_sessions(
    on: &impl Connection,
    ids: &[&TopicId],
    sessions: &[Uuid],
) -> Result<Vec<TopicRow>, StoreError> {
    let mut values = dialect::filled(ids.iter().map(|id| id.as_str().into()));
    let mut sql =
        format!("{TOPIC} WHERE name IN ({}) ORDER BY id{}", dialect::places(1, values.len()), dialect::for_update(on));
    // The first part is read to its end before the second.
    if on.backend() == DbBackend::Postgres && !sessions.is_empty() {
        let sessions = dialect::filled(sessions.iter().map(|&id| id.into()));
        let places = dialect::places(values.len() + 1, sessions.len());
        sql = format!(
            "WITH locked AS MATERIALIZED ({sql}), senders AS MATERIALIZED \
             (SELECT id FROM session WHERE id IN ({places}) ORDER BY id{}) \
             SELECT * FROM locked UNION ALL SELECT 0, NULL, 0, 0, 0 FROM senders",
            dialect::for_share(on)
        );
        values.extend(sessions);
    }
    let rows = dialect::rows(on, sql, values).await?;
    let topics = rows.iter().take_while(|row| dialect::get::<TopicKey>(row, "id").is_ok_and(|key| key != 0));
    topics.map(topic).collect()
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
