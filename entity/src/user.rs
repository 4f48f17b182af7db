//! A person or bot.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// The `sub` of their token; built-in accounts begin with `~`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// How they are called now; not unique.
    pub username: String,
    /// Keyed hash of the device id that opens a built-in account.
    pub device_hash: Option<String>,
    /// When they were first seen.
    pub created_at: i64,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
