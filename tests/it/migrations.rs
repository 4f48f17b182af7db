//! A new version of the service on a database that an earlier version has made.

use parlour_migration::{Migrator, MigratorTrait as _};
use sea_orm::ConnectionTrait as _;

use crate::support::{TestDatabase, run_command};

/// Rows as the first two migrations call them.
const ROWS: [&str; 4] = [
    "INSERT INTO node (id, lease_until) VALUES ('00000000-0000-0000-0000-000000000001', 99)",
    "INSERT INTO session (id, user_id, created_at, expires_at, generation, stream, node, online_since, online_until, \
     next_slot, joins, resume_generation, resume_moved) VALUES ('00000000-0000-0000-0000-000000000002', 'ana', 1, 2, 7, 6, \
     '00000000-0000-0000-0000-000000000001', 3, 4, 5, 8, 6, '\\x0102')",
    "INSERT INTO joined (session_id, topic_id, slot, position, hidden, ended, ended_seq) \
     VALUES ('00000000-0000-0000-0000-000000000002', 11, 4, 12, TRUE, 1, 13)",
    "INSERT INTO generation (session_id, number, next_slot, positions) \
     VALUES ('00000000-0000-0000-0000-000000000002', 7, 5, '\\x0304')",
];

/// The same rows, each found by all its values under the new names.
const FOUND: [&str; 4] = [
    "instance WHERE id = '00000000-0000-0000-0000-000000000001' AND lease_until = 99",
    "session WHERE id = '00000000-0000-0000-0000-000000000002' AND user_id = 'ana' AND created_at = 1 AND expires_at = 2 \
     AND ended_at IS NULL AND last_checkpoint = 7 AND stream_id = 6 \
     AND instance_id = '00000000-0000-0000-0000-000000000001' AND online_since = 3 AND online_until = 4 \
     AND next_join_number = 5 AND joins_version = 8 AND resume_checkpoint = 6 AND resume_moved = '\\x0102'",
    "joined WHERE session_id = '00000000-0000-0000-0000-000000000002' AND topic_id = 11 AND join_number = 4 \
     AND position = 12 AND hidden AND ended = 1 AND ended_seq = 13",
    "checkpoint WHERE session_id = '00000000-0000-0000-0000-000000000002' AND number = 7 AND next_join_number = 5 \
     AND positions = '\\x0304'",
];

/// On PostgreSQL; the store's own tests do the same on SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn the_third_migration_renames_and_keeps_every_row() {
    let Some(database) = TestDatabase::shared().await else { return };
    let url = database.url();
    let mut options = sea_orm::ConnectOptions::new(&url);
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    Migrator::up(&connection, Some(2)).await.unwrap();
    for sql in ROWS {
        connection.execute_unprepared(sql).await.unwrap();
    }
    let output = run_command(&["migrate"], &[("PARLOUR_DATABASE_URL", url.as_str())]);
    assert!(output.status.success(), "{output:?}");
    for found in FOUND {
        let sql = format!("DO $$ BEGIN ASSERT (SELECT COUNT(*) = 1 FROM {found}); END $$");
        connection.execute_unprepared(&sql).await.unwrap();
    }
    connection.close().await.unwrap();
}
