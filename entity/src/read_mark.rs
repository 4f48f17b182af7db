//! How far a user has read a topic.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "read_mark")]
pub struct Model {
    /// Who.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// What.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// The last entry that they have read.
    pub seq: i64,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
