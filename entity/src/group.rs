//! A group: a topic with members.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "group")]
pub struct Model {
    /// UUIDv7; its topic is `group:` and this.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its chat.
    #[sea_orm(unique)]
    pub topic_id: i64,
    /// How it is called.
    pub name: String,
    /// The same in lower case: what searches compare.
    pub search_name: String,
    /// What it is about.
    pub description: String,
    /// Whether anyone may join.
    pub open: bool,
    /// How many members it takes.
    pub max_members: i32,
    /// How many it has.
    pub members: i32,
    /// When it was made.
    pub created_at: i64,
}

/// There are none: what queries join, they say themselves.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
