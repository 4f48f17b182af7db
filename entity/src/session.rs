//! Sessions: one client of one user.

use sea_orm::entity::prelude::*;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// The session's id, a UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The id of the user.
    pub user_id: String,
    /// The time of opening, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// The time at which the tokens expire unless refreshed, in milliseconds since the Unix epoch.
    pub expires_at: i64,
    /// The time at which the session was ended before that, in milliseconds since the Unix epoch.
    pub ended_at: Option<i64>,
    /// The number of the latest checkpoint; 0 before the first.
    pub last_checkpoint: i64,
    /// The id of the latest stream: the number of the checkpoint that it opened with; 0 before the first.
    pub stream_id: i64,
    /// The id of the instance that holds the open stream; null while no stream is open.
    pub instance_id: Option<Uuid>,
    /// The time at which the session came online, in milliseconds since the Unix epoch.
    pub online_since: i64,
    /// The time until which the session is online without an open stream, in milliseconds since the Unix epoch.
    pub online_until: i64,
    /// The number that the next join gets.
    pub next_join_number: i32,
    /// A counter that grows with every change of the session's joins.
    pub joins_version: i64,
    /// The number of the checkpoint that the last event id from the client named.
    pub resume_checkpoint: Option<i64>,
    /// The positions that this event id added to its checkpoint, encoded as in `checkpoint.positions`.
    pub resume_moved: Option<Vec<u8>>,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The instance that holds the open stream.
    #[sea_orm(belongs_to = "super::instance::Entity", from = "Column::InstanceId", to = "super::instance::Column::Id")]
    Instance,
    /// The user.
    #[sea_orm(belongs_to = "super::user::Entity", from = "Column::UserId", to = "super::user::Column::Id")]
    User,
}

impl Related<super::instance::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Instance.def()
    }
}

impl Related<super::user::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
