//! Joins: which session listens to which topic.

use sea_orm::entity::prelude::*;

/// A session listens to a topic, or did.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "joined")]
pub struct Model {
    /// The id of the session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// The key of the topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// The number of the join in event ids. A later join of the same topic gets another one.
    pub join_number: i32,
    /// The seq of the topic's newest entry at the time of the join.
    pub position: i64,
    /// True if the session receives without being shown as present.
    pub hidden: bool,
    /// The reason of the end, as the service's `LeaveReason` encodes it; null while the join lasts.
    pub ended: Option<i16>,
    /// The seq of the entry that ended the join: the last one that its stream receives.
    pub ended_seq: Option<i64>,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The session that listens.
    #[sea_orm(belongs_to = "super::session::Entity", from = "Column::SessionId", to = "super::session::Column::Id")]
    Session,
    /// The topic.
    #[sea_orm(belongs_to = "super::topic::Entity", from = "Column::TopicId", to = "super::topic::Column::Id")]
    Topic,
}

impl Related<super::session::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Session.def()
    }
}

impl Related<super::topic::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Topic.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
