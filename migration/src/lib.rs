//! The schema: one history for SQLite and PostgreSQL. Names are texts on purpose: a migration must not change when an
//! entity does.

use sea_orm_migration::prelude::*;

pub use sea_orm_migration::MigratorTrait;

mod m20261123_000001_core;
mod m20261124_000002_people;
mod m20261130_000003_words;
mod types;

/// Applies what is missing, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_core::Migration),
            Box::new(m20261124_000002_people::Migration),
            Box::new(m20261130_000003_words::Migration),
        ]
    }
}
