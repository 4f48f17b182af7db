//! Leases: a row shows until when an instance of the service is alive.

use sea_orm::entity::prelude::*;

/// One running process of the service.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "instance")]
pub struct Model {
    /// The id that the instance made at its start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The end of the lease, in milliseconds since the Unix epoch. After it the instance counts as dead.
    pub lease_until: i64,
}

/// No query joins this table to another through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
