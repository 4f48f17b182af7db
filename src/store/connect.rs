//! Connecting: which pools there are, and how each connection is set up.

use std::collections::HashSet;
use std::time::Duration;

use parlour_migration::MigratorTrait as _;
use sea_orm::sqlx::Connection as _;
use sea_orm::{ConnectOptions, Database, DbBackend, SqlxError};
use secrecy::{ExposeSecret as _, SecretString};

use super::pool::{Connection as _, Pool};
use super::sqlite::Threads;
use super::{StoreError, dialect};

/// How long anyone waits for a connection before the answer is 503.
const ACQUIRE: Duration = Duration::from_secs(2);

/// How long PostgreSQL works on one statement before it gives up, and how long it waits for a row that somebody holds:
/// after that the answer is 503, not a queue.
const STATEMENT: &str = "8s";
const LOCK: &str = "2s";
/// How long PostgreSQL keeps a transaction whose instance says nothing more: one that was frozen in the middle of it. Less
/// than [`LOCK`], so that whoever waits for its rows gets them instead of an error.
const SILENT: &str = "1500ms";
/// How long a connection that is given back may take to say that it still works. It may be dead without knowing, and would
/// hold its place in the pool until the network notices.
const RETURN: Duration = Duration::from_secs(2);

/// How often an instance that starts asks whether another has brought the tables up to date.
const MIGRATING: Duration = Duration::from_millis(200);

/// Transactions of the log that may run at once on PostgreSQL, each on a connection of its own.
const LANES: u32 = 4;

/// The connections, apart by purpose, so that none waits for another's crowd.
#[derive(Debug)]
pub struct Pools {
    /// Reads, and on PostgreSQL the changes.
    pub(super) read: Pool,
    /// The log; on SQLite every change: it has one writer at a time.
    pub(super) write: Pool,
    /// The lease of this instance and the lock of migrations.
    pub(super) lease: Pool,
    /// How many may use `write` at once.
    pub(super) lanes: usize,
    /// May hold a password.
    url: SecretString,
}

impl Pools {
    /// Opens at most about so many connections; makes an SQLite file where there is none and the URL says `mode=rwc`.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let write = Pool::Sqlite(Threads::open(url, 1, false).await?);
            // What is read is mostly in memory: more threads than cores wait for each other, and each keeps its own cache.
            let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
            let read = Pool::Sqlite(Threads::open(url, connections.clamp(1, 2 * cores), true).await?);
            // The lease shares the writer: SQLite has one process, and nobody waits for its lease but itself.
            return Ok(Self { read, lease: write.clone(), write, lanes: 1, url: url.into() });
        }
        let shared = connections.saturating_sub(LANES + 1).max(2);
        Ok(Self {
            read: Pool::Postgres(Database::connect(postgres(url, shared)).await?),
            write: Pool::Postgres(Database::connect(postgres(url, LANES)).await?),
            lease: Pool::Postgres(Database::connect(postgres(url, 1)).await?),
            lanes: LANES as usize,
            url: url.into(),
        })
    }

    /// Whether the schema is up to date. Reads only, as a user of the database may do who must not change tables.
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
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

    /// Brings the schema up to date. Many instances may do so at once: one does it, the others wait.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if self.read.backend() != DbBackend::Postgres {
            return self.migrate_alone().await;
        }
        // The lock belongs to its connection; `lease` has just one, so that the unlock meets the same. Whoever holds it
        // may take as long as large tables want; one that has died has let go of it.
        const LOCK: &str = "SELECT pg_try_advisory_lock(7381240117) AS locked";
        const UNLOCK: &str = "SELECT pg_advisory_unlock(7381240117)";
        let locked = async || match dialect::row(&self.lease, LOCK, vec![]).await? {
            Some(row) => dialect::get::<bool>(&row, "locked"),
            None => Ok(false),
        };
        if !locked().await? {
            tracing::info!("waiting for another instance, which brings the tables up to date");
            while !locked().await? {
                tokio::time::sleep(MIGRATING).await;
            }
        }
        let done = self.migrate_alone().await;
        dialect::exec(&self.lease, UNLOCK, vec![]).await?;
        done
    }

    /// Over a connection of its own, that waits as long as it takes.
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
        .acquire_timeout(ACQUIRE)
        .connect_timeout(ACQUIRE)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn postgres(url: &str, connections: u32) -> ConnectOptions {
    let mut options = common(url, connections);
    options.min_connections(1).test_before_acquire_if_idle_for(Duration::from_secs(30));
    options.set_application_name("parlour");
    const LIMITS: [(&str, &str); 3] =
        [("lock_timeout", LOCK), ("statement_timeout", STATEMENT), ("idle_in_transaction_session_timeout", SILENT)];
    options.map_sqlx_postgres_opts(|pg| pg.options(LIMITS));
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                let answer = tokio::time::timeout(RETURN, connection.ping()).await;
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

    /// The entities say what the migrations have made, or reading one would fail.
    #[tokio::test]
    async fn every_entity_is_a_table() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/p.db?mode=rwc", folder.path().display());
        let pools = Pools::connect(&url, 2).await?;
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
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/p.db?mode=rwc", folder.path().display());
        let pools = Pools::connect(&url, 2).await?;
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
