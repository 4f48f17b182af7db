//! The direct messages of each user, for their inbox.

use sea_orm::entity::prelude::*;

/// A direct message has two rows, one for each of its users.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dm")]
pub struct Model {
    /// The id of the user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// The key of the direct message's topic.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: i64,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The direct message's topic.
    #[sea_orm(belongs_to = "super::topic::Entity", from = "Column::TopicId", to = "super::topic::Column::Id")]
    Topic,
}

impl Related<super::topic::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Topic.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
