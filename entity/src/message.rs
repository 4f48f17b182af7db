//! An entry of a topic's log.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub struct Model {
    /// In which topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// Its place there: dense from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// UUIDv7, unique over all topics.
    #[sea_orm(unique)]
    pub id: Uuid,
    /// Its kind.
    pub code: i16,
    /// Whom it is of.
    pub sender_id: String,
    /// How they were called then.
    pub sender_name: String,
    /// JSON text, to the byte as it was sent; none once removed.
    pub content: Option<String>,
    /// When it was taken.
    pub created_at: i64,
    /// When it was changed last.
    pub edited_at: Option<i64>,
    /// When it was removed.
    pub removed_at: Option<i64>,
    /// The Idempotency-Key that it was sent with.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the content under that key.
    pub body_hash: Option<Vec<u8>>,
    /// The entry that this one edits or removes.
    pub target: Option<i64>,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
