//! Topics: reading, creating and locking their rows. What was sent there is in `messages`.

use parlour_entity::topic as entity;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use super::pool::{Connection, Row};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, Seq, TopicId};

/// A topic as the database holds it.
#[derive(Clone, Debug)]
pub(crate) struct TopicRow {
    /// The short key.
    pub key: TopicKey,
    /// The id.
    pub id: TopicId,
    /// The seq of the newest entry; 0 before the first.
    pub last_seq: Seq,
    /// The time of the newest entry.
    pub last_at: Millis,
    /// The time of the topic's creation.
    pub created_at: Millis,
}

/// The lock that a statement takes on the rows that it finds, until its transaction ends. SQLite has no row locks: its one writer holds
/// the whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    None,
    /// Several transactions may hold it at once.
    Shared,
    Exclusive,
}

/// A topic's columns for raw statements, as [`topic`] reads them.
pub(super) const TOPIC: &str = "SELECT id, name, last_seq, last_at, created_at FROM topic";

impl Store {
    /// Reads a topic; `None` where it has not been created.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn topic(&self, id: &TopicId) -> Result<Option<TopicRow>, StoreError> {
        find(self.read(), id, Lock::None).await
    }

    /// Returns the seq of the newest entry of each of these topics.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn last_seqs(&self, keys: &[TopicKey]) -> Result<Vec<(TopicKey, Seq)>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ends: Vec<(TopicKey, i64)> = entity::Entity::find()
            .select_only()
            .columns([entity::Column::Id, entity::Column::LastSeq])
            .filter(entity::Column::Id.is_in(dialect::filled(keys.iter().copied())))
            .into_tuple()
            .all(self.read())
            .await?;
        Ok(ends.into_iter().map(|(key, seq)| (key, Seq(seq))).collect())
    }
}

impl From<entity::Model> for TopicRow {
    fn from(row: entity::Model) -> Self {
        Self {
            key: row.id,
            id: TopicId::stored(&row.name),
            last_seq: Seq(row.last_seq),
            last_at: Millis(row.last_at),
            created_at: Millis(row.created_at),
        }
    }
}

/// Reads a topic and locks its row. What depends on the lock is checked in a later statement: at READ COMMITTED this one
/// may see the state from before it waited.
pub(super) async fn find(on: &impl Connection, id: &TopicId, lock: Lock) -> Result<Option<TopicRow>, StoreError> {
    let topic = entity::Entity::find().filter(entity::Column::Name.eq(id.as_str()));
    let topic = match lock {
        Lock::None => topic,
        Lock::Shared => topic.lock(LockType::Share),
        Lock::Exclusive => topic.lock(LockType::Update),
    };
    Ok(topic.one(on).await?.map(TopicRow::from))
}

/// Creates a topic unless it exists. A direct message gets a row in `dm` for each of its users.
// Raw: with an entity the second statement would need the topic's key, which `ON CONFLICT DO NOTHING` does not return.
pub(super) async fn ensure(on: &impl Connection, id: &TopicId, now: Millis) -> Result<(), StoreError> {
    let sql = "INSERT INTO topic (name, last_seq, last_at, created_at) VALUES ($1, 0, 0, $2) \
               ON CONFLICT (name) DO NOTHING";
    dialect::exec(on, sql, vec![id.as_str().into(), now.0.into()]).await?;
    if let Some((one, other)) = id.dm_users() {
        let sql = "INSERT INTO dm (user_id, topic_id) VALUES ($1, (SELECT id FROM topic WHERE name = $3)), \
                   ($2, (SELECT id FROM topic WHERE name = $3)) ON CONFLICT (user_id, topic_id) DO NOTHING";
        dialect::exec(on, sql, vec![one.as_str().into(), other.as_str().into(), id.as_str().into()]).await?;
    }
    Ok(())
}

/// Reads topics by their ids and locks their rows in the order of their keys, as every transaction that locks several
/// does: otherwise two transactions could wait for each other.
// Raw: every append runs this, and the order of the locks is its point.
pub(super) async fn lock_all(on: &impl Connection, ids: &[&TopicId]) -> Result<Vec<TopicRow>, StoreError> {
    if on.backend() != DbBackend::Postgres {
        // One by one: SQLite finds each at once, but would build a table of a list first.
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let row = dialect::row(on, format!("{TOPIC} WHERE name = $1"), vec![id.as_str().into()]).await?;
            found.extend(row.as_ref().map(topic).transpose()?);
        }
        return Ok(found);
    }
    let values = dialect::filled(ids.iter().map(|id| id.as_str().into()));
    let places = dialect::places(1, values.len());
    let sql = format!("{TOPIC} WHERE name IN ({places}) ORDER BY id FOR UPDATE");
    dialect::rows(on, sql, values).await?.iter().map(topic).collect()
}

/// The topic in a row of a statement with the columns of [`TOPIC`].
pub(super) fn topic(row: &Row) -> Result<TopicRow, StoreError> {
    Ok(TopicRow {
        key: dialect::get(row, "id")?,
        id: TopicId::stored(&dialect::get::<String>(row, "name")?),
        last_seq: Seq(dialect::get(row, "last_seq")?),
        last_at: Millis(dialect::get(row, "last_at")?),
        created_at: Millis(dialect::get(row, "created_at")?),
    })
}
