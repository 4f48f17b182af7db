//! The standing of a user in a group: member, applicant or banned.

use sea_orm::entity::prelude::*;

/// A user who is a member of a group, has applied, or is banned.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "group_member")]
pub struct Model {
    /// The id of the group.
    #[sea_orm(primary_key, auto_increment = false)]
    pub group_id: Uuid,
    /// The id of the user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// The standing, as the service's `model::group::Standing` encodes it: a role, applicant, or banned.
    pub standing: i16,
    /// The time at which the standing began, in milliseconds since the Unix epoch.
    pub since: i64,
}

/// The tables that queries join to this one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The group.
    #[sea_orm(belongs_to = "super::group::Entity", from = "Column::GroupId", to = "super::group::Column::Id")]
    Group,
    /// The user.
    #[sea_orm(belongs_to = "super::user::Entity", from = "Column::UserId", to = "super::user::Column::Id")]
    User,
}

impl Related<super::group::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Group.def()
    }
}

impl Related<super::user::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
