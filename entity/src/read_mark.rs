//! Read marks: how far a user has read a topic.

use sea_orm::entity::prelude::*;

/// The read mark of one user in one topic.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "read_mark")]
pub struct Model {
    /// The id of the user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// The key of the topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
    /// The seq of the last entry that the user has read.
    pub seq: i64,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The topic.
    #[sea_orm(belongs_to = "super::topic::Entity", from = "Column::TopicId", to = "super::topic::Column::Id")]
    Topic,
}

impl Related<super::topic::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Topic.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
