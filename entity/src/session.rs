//! One client of one user.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// When it was opened.
    pub created_at: i64,
    /// When its tokens end, unless refreshed.
    pub expires_at: i64,
    /// When it was ended before that.
    pub ended_at: Option<i64>,
    /// The last checkpoint taken.
    pub last_checkpoint: i64,
    /// The checkpoint that the latest stream opened with; 0 before the first.
    pub stream_id: i64,
    /// The instance that holds the open stream; none while no stream is open.
    pub instance_id: Option<Uuid>,
    /// Since when it has been online without a break.
    pub online_since: i64,
    /// Until when it counts as online though no stream is open.
    pub online_until: i64,
    /// The slot that the next join gets.
    pub next_join_number: i32,
    /// Counts up with every change of its joins.
    pub joins_version: i64,
    /// The checkpoint that the last id that was brought back builds on.
    pub resume_checkpoint: Option<i64>,
    /// What that id said had moved since.
    pub resume_moved: Option<Vec<u8>>,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
