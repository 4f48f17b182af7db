//! Migrations keep the data of a database that an earlier version of the service has made.

use std::error::Error;

use parlour_entity::{checkpoint, instance, joined, session};
use parlour_migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use uuid::Uuid;

use super::pool::Pool;
use super::testing::TestDatabase;

/// Rows as the first two migrations call them.
const ROWS: [&str; 4] = [
    "INSERT INTO node (id, lease_until) VALUES (X'00000000000000000000000000000001', 99)",
    "INSERT INTO session (id, user_id, created_at, expires_at, generation, stream, node, online_since, online_until, \
     next_slot, joins, resume_generation, resume_moved) VALUES (X'00000000000000000000000000000002', 'ana', 1, 2, 7, 6, \
     X'00000000000000000000000000000001', 3, 4, 5, 8, 6, X'0102')",
    "INSERT INTO joined (session_id, topic_id, slot, position, hidden, ended, ended_seq) \
     VALUES (X'00000000000000000000000000000002', 11, 4, 12, TRUE, 1, 13)",
    "INSERT INTO generation (session_id, number, next_slot, positions) \
     VALUES (X'00000000000000000000000000000002', 7, 5, X'0304')",
];

#[tokio::test]
async fn the_third_migration_renames_and_keeps_every_row() -> Result<(), Box<dyn Error>> {
    let database = TestDatabase::empty().await?;
    let pools = &database.pools;
    let Pool::Sqlite(writer) = &pools.write else { return Err("it is SQLite".into()) };
    Migrator::up(&writer.database().await?, Some(2)).await?;
    for sql in ROWS {
        pools.write.execute_unprepared(sql).await?;
    }
    pools.migrate().await?;
    assert!(pools.is_migrated().await?);

    let ana = Uuid::from_u128(2);
    let instances = instance::Entity::find().all(&pools.read).await?;
    assert_eq!(instances, [instance::Model { id: Uuid::from_u128(1), lease_until: 99 }]);
    let session = session::Model {
        id: ana,
        user_id: "ana".into(),
        created_at: 1,
        expires_at: 2,
        ended_at: None,
        last_checkpoint: 7,
        stream_id: 6,
        instance_id: Some(Uuid::from_u128(1)),
        online_since: 3,
        online_until: 4,
        next_join_number: 5,
        joins_version: 8,
        resume_checkpoint: Some(6),
        resume_moved: Some(vec![1, 2]),
    };
    assert_eq!(session::Entity::find().all(&pools.read).await?, [session]);
    let join = joined::Model {
        session_id: ana,
        topic_id: 11,
        join_number: 4,
        position: 12,
        hidden: true,
        ended: Some(1),
        ended_seq: Some(13),
    };
    assert_eq!(joined::Entity::find().all(&pools.read).await?, [join]);
    let stored = checkpoint::Model { session_id: ana, number: 7, next_join_number: 5, positions: vec![3, 4] };
    assert_eq!(checkpoint::Entity::find().all(&pools.read).await?, [stored]);
    Ok(())
}
