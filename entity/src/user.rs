//! Users: people and bots.

use sea_orm::entity::prelude::*;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// The user's id: the `sub` of their token. Ids of built-in accounts begin with `~`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The current name; not unique.
    pub username: String,
    /// A keyed hash of the device id that opens a built-in account.
    pub device_hash: Option<String>,
    /// The time at which the user was first seen, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// No query joins this table to another through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
