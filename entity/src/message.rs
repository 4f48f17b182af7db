//! The entries of the topics' logs.

use sea_orm::entity::prelude::*;

/// An entry of a topic's log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub struct Model {
    /// The key of the topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// The entry's number in its topic: dense from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The entry's id, a UUIDv7, unique over all topics.
    #[sea_orm(unique)]
    pub id: Uuid,
    /// The kind of the entry, as `openapi.yaml` lists them.
    pub code: i16,
    /// The id of the user who sent the entry or whom it concerns.
    pub sender_id: String,
    /// The name of that user at the time of the entry.
    pub sender_name: String,
    /// The content: JSON text with every byte as it was sent, null once removed.
    pub content: Option<String>,
    /// The time at which the entry was stored, in milliseconds since the Unix epoch. It never decreases within a topic.
    pub created_at: i64,
    /// The time of the last edit, in milliseconds since the Unix epoch.
    pub edited_at: Option<i64>,
    /// The time of the removal, in milliseconds since the Unix epoch.
    pub removed_at: Option<i64>,
    /// The `Idempotency-Key` that the entry was sent with.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the content that was sent under that key.
    pub body_hash: Option<Vec<u8>>,
    /// The seq of the entry that this one edits or removes.
    pub target: Option<i64>,
}

/// No query joins this table to another through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
