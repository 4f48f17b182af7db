//! Values of the database itself: its epoch and keys.

use sea_orm::entity::prelude::*;

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "meta")]
pub struct Model {
    /// The name: `epoch`, `token_key` or `device_key`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The value, in hexadecimal digits.
    pub value: String,
}

/// No query joins this table to another through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
