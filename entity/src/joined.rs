//! A session listens to a topic, or did.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "joined")]
pub struct Model {
    /// Who listens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// To what.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// This join's number in event ids; a later join of the same topic gets another one.
    pub join_number: i32,
    /// The newest entry when it was joined.
    pub position: i64,
    /// Receives without being shown as present.
    pub hidden: bool,
    /// How it ended; none while it lasts.
    pub ended: Option<i16>,
    /// The entry that ended it: the last that its stream receives.
    pub ended_seq: Option<i64>,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
