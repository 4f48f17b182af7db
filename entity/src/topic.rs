//! The target of messages, the holder of history.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topic")]
pub struct Model {
    /// Short, for the keys of the log.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The canonical topic id.
    #[sea_orm(unique)]
    pub name: String,
    /// The number of the newest entry.
    pub last_seq: i64,
    /// When that was made: the log never runs backwards.
    pub last_at: i64,
    /// When the topic was made.
    pub created_at: i64,
    /// When its group was deleted: what is left of it is about to go.
    pub deleted_at: Option<i64>,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
