//! Topics: the targets of messages, the holders of history.

use sea_orm::entity::prelude::*;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "topic")]
pub struct Model {
    /// A short key that the database gives; the log is stored by it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The topic's canonical id, for example `room:lobby`.
    #[sea_orm(unique)]
    pub name: String,
    /// The seq of the newest entry; 0 before the first.
    pub last_seq: i64,
    /// The time of the newest entry, in milliseconds since the Unix epoch. No later entry gets an earlier time.
    pub last_at: i64,
    /// The time of creation, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// The time at which the topic's group was deleted, in milliseconds since the Unix epoch. The rest of the topic is
    /// deleted soon after.
    pub deleted_at: Option<i64>,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The read marks of users in the topic.
    #[sea_orm(has_many = "super::read_mark::Entity")]
    ReadMarks,
}

impl Related<super::read_mark::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::ReadMarks.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
