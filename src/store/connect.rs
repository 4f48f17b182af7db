//! Connects the pools, sets up each connection, and runs the migrations.

use std::collections::HashSet;
use std::time::Duration;

use parlour_migration::MigratorTrait as _;
use sea_orm::sqlx::Connection as _;
use sea_orm::{ConnectOptions, Database, DbBackend, SqlxError};
use secrecy::{ExposeSecret as _, SecretString};

use super::pool::{Connection as _, Pool};
use super::sqlite::ConnectionThreads;
use super::{StoreError, dialect};

/// The time that a caller waits for a connection before the answer is 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// PostgreSQL's time limit for one statement.
const STATEMENT_TIMEOUT: &str = "8s";
/// The time that PostgreSQL waits for a locked row: after that the answer is 503, so that no queue builds up.
const LOCK_TIMEOUT: &str = "2s";
/// The time that PostgreSQL keeps a transaction whose instance sends nothing more, because it was frozen in the middle.
/// Less than [`LOCK_TIMEOUT`], so that a transaction that waits for its rows gets them instead of an error.
const IDLE_TRANSACTION_TIMEOUT: &str = "1500ms";
/// The time limit for a connection that is given back to answer a ping. It may be dead, and would hold its place in the pool
/// until the network reports that.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval at which an instance that starts checks whether another one has migrated the tables.
const MIGRATION_INTERVAL: Duration = Duration::from_millis(200);

/// Batches of drafts that may run at once on PostgreSQL, each on a connection of its own.
const DRAFT_BATCHES: u32 = 4;

/// The connections, in a pool for each purpose, so that a crowd of one kind delays no other.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Reads, and on PostgreSQL the write transactions that are not drafts.
    pub(super) read: Pool,
    /// Drafts; on SQLite every write transaction, as it has one writer at a time.
    pub(super) write: Pool,
    /// The lease of this instance and the lock of migrations.
    pub(super) lease: Pool,
    /// The number of batches of drafts that may run at once.
    pub(super) draft_batches: usize,
    /// May hold a password.
    url: SecretString,
}

impl Pools {
    /// Opens at most about so many connections. Creates an SQLite file that does not exist, if the URL has `mode=rwc`.
    ///
    /// # Errors
    /// Fails if the URL is not valid, or the database cannot be reached.
    pub(crate) async fn connect(url: &str, connections: u32) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let write = Pool::Sqlite(ConnectionThreads::open(url, 1, false).await?);
            // Reads are mostly served from memory: more threads than cores would wait for each other, and each has its own
            // cache.
            let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
            let read = Pool::Sqlite(ConnectionThreads::open(url, connections.clamp(1, 2 * cores), true).await?);
            // The lease shares the writer: SQLite has one process, and nothing else waits for its lease.
            return Ok(Self { read, lease: write.clone(), write, draft_batches: 1, url: url.into() });
        }
        let shared = connections.saturating_sub(DRAFT_BATCHES + 1).max(2);
        Ok(Self {
            read: Pool::Postgres(Database::connect(postgres(url, shared)).await?),
            write: Pool::Postgres(Database::connect(postgres(url, DRAFT_BATCHES)).await?),
            lease: Pool::Postgres(Database::connect(postgres(url, 1)).await?),
            draft_batches: DRAFT_BATCHES as usize,
            url: url.into(),
        })
    }

    /// Reports whether the schema is up to date. It only reads, as the database user may not be allowed to change tables.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub(crate) async fn is_migrated(&self) -> Result<bool, StoreError> {
        let tables = match self.write.backend() {
            DbBackend::Postgres => "SELECT 1 AS one WHERE to_regclass('seaql_migrations') IS NOT NULL",
            _ => "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        };
        if dialect::row(&self.write, tables, vec![]).await?.is_none() {
            return Ok(false);
        }
        let rows = dialect::rows(&self.write, "SELECT version FROM seaql_migrations", vec![]).await?;
        let done = rows.iter().map(|row| dialect::get::<String>(row, "version")).collect::<Result<HashSet<_>, _>>()?;
        Ok(parlour_migration::Migrator::migrations().iter().all(|migration| done.contains(migration.name())))
    }

    /// Brings the schema up to date. If many instances do so at once, one does it and the others wait.
    ///
    /// # Errors
    /// Fails if the database cannot be reached, or a migration fails.
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        if self.read.backend() != DbBackend::Postgres {
            return self.migrate_alone().await;
        }
        // The lock belongs to its connection. `lease` has only one, so the unlock runs on the same. The instance that holds
        // it may take as long as large tables need, and the lock of one that has died is released.
        const LOCK: &str = "SELECT pg_try_advisory_lock(7381240117) AS locked";
        const UNLOCK: &str = "SELECT pg_advisory_unlock(7381240117)";
        let locked = async || match dialect::row(&self.lease, LOCK, vec![]).await? {
            Some(row) => dialect::get::<bool>(&row, "locked"),
            None => Ok(false),
        };
        if !locked().await? {
            tracing::info!("waiting for another instance, which migrates the tables");
            while !locked().await? {
                tokio::time::sleep(MIGRATION_INTERVAL).await;
            }
        }
        let done = self.migrate_alone().await;
        dialect::exec(&self.lease, UNLOCK, vec![]).await?;
        done
    }

    /// Migrates over a connection of its own, without a time limit.
    async fn migrate_alone(&self) -> Result<(), StoreError> {
        if self.is_migrated().await? {
            return Ok(());
        }
        let connection = match &self.write {
            Pool::Sqlite(threads) => threads.database().await?,
            Pool::Postgres(_) => {
                let mut options = common(self.url.expose_secret(), 1);
                options.map_sqlx_postgres_opts(|pg| pg.options([("lock_timeout", "0"), ("statement_timeout", "0")]));
                Database::connect(options).await?
            }
        };
        let done = parlour_migration::Migrator::up(&connection, None).await;
        connection.close().await?;
        Ok(done?)
    }
}

fn common(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn postgres(url: &str, connections: u32) -> ConnectOptions {
    let mut options = common(url, connections);
    options.min_connections(1).test_before_acquire_if_idle_for(Duration::from_secs(30));
    options.set_application_name("parlour");
    const LIMITS: [(&str, &str); 3] = [
        ("lock_timeout", LOCK_TIMEOUT),
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_TIMEOUT),
    ];
    options.map_sqlx_postgres_opts(|pg| pg.options(LIMITS));
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                let answer = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                answer.unwrap_or_else(|_| Err(SqlxError::PoolTimedOut)).map(|()| true)
            })
        })
    });
    options
}

#[cfg(test)]
mod tests {
    use parlour_entity::{
        block, checkpoint, dm, group, group_member, instance, joined, message, meta, read_mark, session, topic, user,
    };
    use sea_orm::EntityTrait as _;

    use super::*;
    use crate::store::testing::TestDatabase;

    /// The entities say what the migrations have made, or reading one would fail.
    #[tokio::test]
    async fn every_entity_is_a_table() -> Result<(), Box<dyn std::error::Error>> {
        let TestDatabase { pools, folder: _folder } = TestDatabase::empty().await?;
        assert!(!pools.is_migrated().await?);
        pools.migrate().await?;
        assert!(pools.is_migrated().await?);
        let database = &pools.read;
        assert_eq!(block::Entity::find().one(database).await?, None);
        assert_eq!(dm::Entity::find().one(database).await?, None);
        assert_eq!(checkpoint::Entity::find().one(database).await?, None);
        assert_eq!(group::Entity::find().one(database).await?, None);
        assert_eq!(group_member::Entity::find().one(database).await?, None);
        assert_eq!(joined::Entity::find().one(database).await?, None);
        assert_eq!(message::Entity::find().one(database).await?, None);
        assert_eq!(meta::Entity::find().one(database).await?, None);
        assert_eq!(instance::Entity::find().one(database).await?, None);
        assert_eq!(read_mark::Entity::find().one(database).await?, None);
        assert_eq!(session::Entity::find().one(database).await?, None);
        assert_eq!(topic::Entity::find().one(database).await?, None);
        assert_eq!(user::Entity::find().one(database).await?, None);
        Ok(())
    }

    /// Direct messages of before the second migration stand in the inboxes of both.
    #[tokio::test]
    async fn direct_messages_that_are_there_are_found_by_their_users() -> Result<(), Box<dyn std::error::Error>> {
        let TestDatabase { pools, folder: _folder } = TestDatabase::empty().await?;
        let Pool::Sqlite(writer) = &pools.write else { return Err("it is SQLite".into()) };
        parlour_migration::Migrator::up(&writer.database().await?, Some(1)).await?;
        let sql = "INSERT INTO topic (id, name, last_seq, last_at, created_at) \
                   VALUES (1, 'room:dm:x:y', 1, 1, 1), (2, 'dm:ana:~b@c', 1, 1, 1)";
        dialect::exec(&pools.write, sql, vec![]).await?;
        pools.migrate().await?;
        let found = dm::Entity::find().all(&pools.read).await?;
        let mut found: Vec<_> = found.into_iter().map(|row| (row.user_id, row.topic_id)).collect();
        found.sort();
        assert_eq!(found, [("ana".to_owned(), 2), ("~b@c".to_owned(), 2)]);
        Ok(())
    }
}
