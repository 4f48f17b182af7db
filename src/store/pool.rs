//! What statements run on: pools, and transactions. PostgreSQL is reached through sea-orm, SQLite in threads of ours.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement,
    TransactionTrait as _, TryGetable, Value,
};

use super::StoreError;
use super::dialect::{answered, in_time};
use super::error::was_cut;
use super::sqlite::{self, Threads};

/// So many connections in a row may turn out to have been cut, as a database that restarts cuts all of them at once.
/// Nobody is refused for that: what such a connection was asked is asked again over another. More than a pool holds by
/// default; each is gone from the pool afterwards, and one that cannot be made is another error.
const TRIES: usize = 8;

/// What of a change lasts once it has been answered. No crash of a process takes anything away, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// On the disk a tenth of a second later, or with whatever is durable in full before that: what a power cut takes are
    /// the latest changes, and none without all that came after it. On PostgreSQL the same as full, as there a crash of
    /// the database would take it, too.
    Delayed,
    /// On the disk before.
    Full,
}

/// Whatever runs statements.
pub(super) trait Connection: ConnectionTrait {
    /// Which dialect they are in.
    fn backend(&self) -> DbBackend;

    /// The rows that a statement answers.
    fn query_sql(&self, sql: String, values: Vec<Value>) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement; answers how many rows it changed.
    fn execute_sql(&self, sql: String, values: Vec<Value>) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Postgres(QueryResult),
    Sqlite(sqlite::Row),
}

impl Row {
    /// A column, by its name.
    pub(super) fn get<T: TryGetable + rusqlite::types::FromSql>(&self, name: &str) -> Result<T, DbErr> {
        match self {
            Self::Postgres(row) => row.try_get("", name),
            Self::Sqlite(row) => row.get(name),
        }
    }
}

/// Connections for one purpose. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Postgres(DatabaseConnection),
    Sqlite(Threads),
}

/// Where transactions begin.
pub(super) enum Client {
    Postgres(DatabaseConnection),
    Sqlite(Arc<sqlite::Connection>),
}

/// A transaction. One that is dropped is undone.
pub(super) enum Transaction {
    Postgres(DatabaseTransaction),
    Sqlite(sqlite::Transaction),
}

impl Pool {
    /// Does work that consists of transactions: on SQLite, where a connection is.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(Client) -> BoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Postgres(pool) => Ok(work(Client::Postgres(pool.clone())).await),
            Self::Sqlite(threads) => threads.run(|connection| work(Client::Sqlite(connection))).await,
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Postgres(pool) => {
                if let Err(error) = pool.clone().close().await {
                    tracing::warn!(%error, "a database pool did not close");
                }
            }
            Self::Sqlite(threads) => threads.close().await,
        }
    }
}

/// Why a statement that is not to run twice was not answered with rows.
pub(super) enum Once {
    /// It did nothing.
    Refused(StoreError),
    /// The connection was cut or is silent: it may have run.
    Lost(StoreError),
}

impl Client {
    /// Which dialect its statements are in.
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// The rows that a statement answers which is a transaction by itself, and is asked over one connection only.
    pub(super) async fn query_once(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, Once> {
        match self {
            Self::Postgres(pool) => match in_time(pool.query_all_raw(statement(sql, values))).await {
                Ok(Ok(rows)) => Ok(rows.into_iter().map(Row::Postgres).collect()),
                Ok(Err(error)) if was_cut(&error) => Err(Once::Lost(error.into())),
                Ok(Err(error)) => Err(Once::Refused(error.into())),
                Err(silent) => Err(Once::Lost(silent)),
            },
            Self::Sqlite(connection) => {
                let rows = connection.set_durability(Durability::Full).and_then(|()| connection.query(&sql, &values));
                rows.map(sqlite_rows).map_err(Once::Refused)
            }
        }
    }

    /// Begins a transaction that writes, and is durable in full. On SQLite it takes the write lock at once: one that began
    /// by reading could not. A BEGIN that fails has done nothing.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_lasting(Durability::Full).await
    }

    /// As [`Self::begin`], with a durability.
    pub(super) async fn begin_lasting(&self, durability: Durability) -> Result<Transaction, StoreError> {
        match self {
            Self::Postgres(pool) => Ok(Transaction::Postgres(answered(again(|| pool.begin())).await?)),
            Self::Sqlite(connection) => {
                let transaction = sqlite::Transaction::begin(connection.clone(), durability)?;
                Ok(Transaction::Sqlite(transaction))
            }
        }
    }

    /// Makes durable in full what has been committed over this connection.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(connection) => connection.sync(),
        }
    }
}

impl Transaction {
    /// Begins a part of this transaction that can be undone by itself.
    pub(super) async fn begin(&self) -> Result<Self, StoreError> {
        match self {
            Self::Postgres(transaction) => Ok(Self::Postgres(answered(transaction.begin()).await?)),
            Self::Sqlite(transaction) => Ok(Self::Sqlite(transaction.nested()?)),
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction) => answered(transaction.commit()).await,
            Self::Sqlite(transaction) => transaction.commit(),
        }
    }

    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction) => answered(transaction.rollback()).await,
            Self::Sqlite(transaction) => transaction.rollback(),
        }
    }
}

impl Connection for Pool {
    fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn query_sql(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Postgres(pool) => {
                let statement = statement(sql, values);
                postgres_rows(again(|| pool.query_all_raw(statement.clone()))).await
            }
            Self::Sqlite(threads) => {
                let ask = move |connection: &sqlite::Connection| connection.query(&sql, &values);
                Ok(sqlite_rows(in_time(threads.ask(ask)).await???))
            }
        }
    }

    async fn execute_sql(&self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(pool) => {
                let statement = statement(sql, values);
                Ok(answered(again(|| pool.execute_raw(statement.clone()))).await?.rows_affected())
            }
            Self::Sqlite(threads) => {
                let ask = move |connection: &sqlite::Connection| connection.execute(&sql, &values);
                in_time(threads.ask(ask)).await??
            }
        }
    }
}

impl Connection for Transaction {
    fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn query_sql(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Postgres(transaction) => postgres_rows(transaction.query_all_raw(statement(sql, values))).await,
            Self::Sqlite(transaction) => Ok(sqlite_rows(transaction.connection().query(&sql, &values)?)),
        }
    }

    async fn execute_sql(&self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(transaction) => {
                Ok(answered(transaction.execute_raw(statement(sql, values))).await?.rows_affected())
            }
            Self::Sqlite(transaction) => transaction.connection().execute(&sql, &values),
        }
    }
}

fn statement(sql: String, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

async fn postgres_rows(asked: impl Future<Output = Result<Vec<QueryResult>, DbErr>>) -> Result<Vec<Row>, StoreError> {
    Ok(answered(asked).await?.into_iter().map(Row::Postgres).collect())
}

fn sqlite_rows(rows: Vec<sqlite::Row>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

/// Asks once more where the connection had been cut.
pub(super) async fn again<T, F: Future<Output = Result<T, DbErr>>>(ask: impl Fn() -> F) -> Result<T, DbErr> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if was_cut(&error) => {}
            answer => return answer,
        }
    }
    ask().await
}
