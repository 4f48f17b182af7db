//! Positions of a session's stream, stored before an event id names them.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// Counts up within the session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The session's next slot when this was made: what is below it and not in `positions` had ended by then.
    pub next_join_number: i32,
    /// (slot, reached) pairs, as the service's `model::event_id` writes them.
    pub positions: Vec<u8>,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
