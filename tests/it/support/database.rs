//! A database of its own for each service under test, of the kind that `PARLOUR_TEST_DATABASE` names: `sqlite` (the
//! default: a file in a temporary folder) or `postgres` (a database on the server that this process starts).

use std::sync::Arc;

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use super::postgres;

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

    /// One that several instances can share: there is none where the tests run on SQLite.
    pub(crate) async fn shared() -> Option<Arc<Self>> {
        let database = Self::create().await;
        matches!(database, Self::Postgres(_)).then(|| Arc::new(database))
    }

    /// One on a PostgreSQL server of its own, to be crashed.
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

    /// Cuts every connection of applications that are called so, where there are any.
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

    /// Its URL where its server is reached through this address, in plain.
    pub(crate) fn url_at(&self, address: &str) -> String {
        format!("{}?sslmode=disable", self.url().replace(&self.address(), address))
    }
}
