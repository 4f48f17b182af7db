//! Renames tables and columns to the words that the rest of the service uses.

use sea_orm_migration::prelude::*;

use crate::types::run;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let renames = COLUMNS.map(|(table, old, new)| rename_column(table, old, new));
        run(manager, &renames.each_ref().map(String::as_str)).await?;
        run(
            manager,
            &TABLES.map(|(old, new)| format!("ALTER TABLE {old} RENAME TO {new}")).each_ref().map(String::as_str),
        )
        .await?;
        run(
            manager,
            &[
                "DROP INDEX session_by_node",
                "CREATE INDEX session_by_instance ON session (instance_id) WHERE instance_id IS NOT NULL",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            &TABLES.map(|(old, new)| format!("ALTER TABLE {new} RENAME TO {old}")).each_ref().map(String::as_str),
        )
        .await?;
        let renames = COLUMNS.map(|(table, old, new)| rename_column(table, new, old));
        run(manager, &renames.each_ref().map(String::as_str)).await?;
        run(
            manager,
            &[
                "DROP INDEX session_by_instance",
                "CREATE INDEX session_by_node ON session (node) WHERE node IS NOT NULL",
            ],
        )
        .await
    }
}

/// Tables, each with the old name and the new one.
const TABLES: [(&str, &str); 2] = [("generation", "checkpoint"), ("node", "instance")];

/// Columns, each with the old name of its table, its old name and its new one.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("session", "generation", "last_checkpoint"),
    ("session", "stream", "stream_id"),
    ("session", "node", "instance_id"),
    ("session", "next_slot", "next_join_number"),
    ("session", "joins", "joins_version"),
    ("session", "resume_generation", "resume_checkpoint"),
    ("joined", "slot", "join_number"),
    ("generation", "next_slot", "next_join_number"),
];

fn rename_column(table: &str, old: &str, new: &str) -> String {
    format!("ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
}
