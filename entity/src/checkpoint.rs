//! Checkpoints: all positions of a stream at one moment, stored before an event id names them.

use sea_orm::entity::prelude::*;

/// An immutable row, numbered per session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint")]
pub struct Model {
    /// The id of the session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// The number of the checkpoint: dense from 1 in its session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The number that the session's next join would have got. A join with a lower number that is not in `positions`
    /// had ended before.
    pub next_join_number: i32,
    /// Pairs of join number and progress, as the service's `model::event_id` encodes them.
    pub positions: Vec<u8>,
}

/// No query joins this table to another through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
