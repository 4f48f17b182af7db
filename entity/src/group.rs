//! Groups: a topic with members.

use sea_orm::entity::prelude::*;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "group")]
pub struct Model {
    /// The group's id, a UUIDv7. Its topic is called `group:` and this id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The key of the group's topic.
    #[sea_orm(unique)]
    pub topic_id: i64,
    /// The name, 1 to 100 characters.
    pub name: String,
    /// The name in lower case, which searches compare.
    pub search_name: String,
    /// The description, at most 500 characters.
    pub description: String,
    /// True if anyone may join without being accepted.
    pub open: bool,
    /// The largest number of members, 1 to 10,000.
    pub max_members: i32,
    /// The number of members.
    pub members: i32,
    /// The time of creation, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The standings of users in the group.
    #[sea_orm(has_many = "super::group_member::Entity")]
    Members,
}

impl Related<super::group_member::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Members.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
