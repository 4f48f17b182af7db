//! A database of its own for each service under test, of the kind that `PARLOUR_TEST_DATABASE` names: `sqlite` (the
//! default: a file in a temporary folder) or `postgres` (a database on the server that this process starts).

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Statement};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, postgres};

pub(crate) enum TestDatabase {
    Sqlite(TempDir),
    Postgres(postgres::Database),
}

/// One connection to a database, on which a test may hold a transaction open.
pub(crate) enum DatabaseConnection {
    Sqlite(rusqlite::Connection),
    Postgres(sea_orm::DatabaseConnection),
}

impl DatabaseConnection {
    pub(crate) async fn open(url: &str) -> Self {
        if let Some(rest) = url.strip_prefix("sqlite://") {
            return Self::Sqlite(rusqlite::Connection::open(format!("file:{rest}")).unwrap());
        }
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).min_connections(1).sqlx_logging(false);
        Self::Postgres(sea_orm::Database::connect(options).await.unwrap())
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql).unwrap(),
            Self::Postgres(connection) => {
                connection.execute_unprepared(sql).await.unwrap();
            }
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        match std::env::var("PARLOUR_TEST_DATABASE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite(tempfile::tempdir().unwrap()),
            Ok("postgres") => Self::Postgres(postgres::Database::create().await),
            Ok(other) => panic!("PARLOUR_TEST_DATABASE is sqlite or postgres, not {other}"),
        }
    }

    /// A database that several instances can share. `None` if the tests run on SQLite.
    pub(crate) async fn shared() -> Option<Arc<Self>> {
        let database = Self::create().await;
        matches!(database, Self::Postgres(_)).then(|| Arc::new(database))
    }

    /// A database on a PostgreSQL server of its own, which the test may crash. `None` on SQLite.
    pub(crate) async fn alone() -> Option<Arc<Self>> {
        match std::env::var("PARLOUR_TEST_DATABASE").as_deref() {
            Ok("postgres") => Some(Arc::new(Self::Postgres(postgres::Database::alone().await))),
            _ => None,
        }
    }

    /// Ends its server as a power cut would.
    pub(crate) async fn crash(&self) {
        let Self::Postgres(database) = self else { panic!("SQLite has no server") };
        database.crash().await;
    }

    /// Starts its server again.
    pub(crate) async fn rise(&self) {
        let Self::Postgres(database) = self else { panic!("SQLite has no server") };
        database.rise().await;
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        let connection = DatabaseConnection::open(&self.url()).await;
        connection.execute(sql).await;
        connection.close().await;
    }

    /// Waits until a query, whose result is one boolean, returns true.
    pub(crate) async fn wait_until(&self, query: &str) {
        let mut options = sea_orm::ConnectOptions::new(self.url());
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.unwrap();
        let since = Instant::now();
        loop {
            let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), query)).await;
            if row.unwrap().unwrap().try_get_by_index::<bool>(0).unwrap() {
                break;
            }
            assert!(since.elapsed() < DEADLINE, "not true after {DEADLINE:?}: {query}");
            sleep(Duration::from_millis(2)).await;
        }
        connection.close().await.unwrap();
    }

    /// Cuts every connection whose application has this name; does nothing on SQLite.
    pub(crate) async fn cut(&self, application: &str) {
        if let Self::Postgres(database) = self {
            database.cut(application).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("parlour.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    /// `HOST:PORT` of its server.
    pub(crate) fn address(&self) -> String {
        let url = self.url();
        url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("a server's URL").0.to_owned()
    }

    /// Its URL with this address in place of the server's, without TLS.
    pub(crate) fn url_at(&self, address: &str) -> String {
        format!("{}?sslmode=disable", self.url().replace(&self.address(), address))
    }
}
