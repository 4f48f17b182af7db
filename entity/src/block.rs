//! A user wants no direct messages with another.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "block")]
pub struct Model {
    /// Who blocks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocker_id: String,
    /// Whom.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocked_id: String,
    /// Since when.
    pub created_at: i64,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
