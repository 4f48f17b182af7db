//! Blocks: a user who wants no direct messages with another.

use sea_orm::entity::prelude::*;

/// One user blocks another.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "block")]
pub struct Model {
    /// The id of the user who blocks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocker_id: String,
    /// The id of the user who is blocked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocked_id: String,
    /// The time of the block, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The user who is blocked.
    #[sea_orm(belongs_to = "super::user::Entity", from = "Column::BlockedId", to = "super::user::Column::Id")]
    Blocked,
}

impl Related<super::user::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Blocked.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
