//! Pools and transactions, on which statements run. PostgreSQL is reached through sea-orm, SQLite through threads of this
//! service (`sqlite`).

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement,
    TransactionTrait as _, Value,
};

use super::StoreError;
use super::durability::Durability;
use super::error::was_cut;
use super::sqlite::{self, Column, ConnectionThreads};
use super::timeouts::{statement_result, within_timeout};

/// A statement is tried on so many connections while each turns out to have been cut: a database that restarts cuts all of
/// them at once, and no caller should get an error for that. It is more than a pool holds by default. The pool drops each
/// cut connection, and a connection that cannot be made is another error.
const CONNECTION_ATTEMPTS: usize = 8;

/// Runs statements: a pool or a transaction.
pub(super) trait Connection: ConnectionTrait {
    /// The dialect of the statements.
    fn backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    /// Returns the rows of a statement.
    fn query_sql(&self, sql: String, values: Vec<Value>) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement; returns the number of rows that it changed.
    fn execute_sql(&self, sql: String, values: Vec<Value>) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A row of a result.
#[derive(Debug)]
pub(super) enum Row {
    Postgres(QueryResult),
    Sqlite(sqlite::Row),
}

impl Row {
    /// Returns a column by its name.
    pub(super) fn get<T: Column>(&self, name: &str) -> Result<T, DbErr> {
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
    Sqlite(ConnectionThreads),
}

/// Begins transactions.
pub(super) enum Client {
    Postgres(DatabaseConnection),
    Sqlite(Arc<sqlite::Connection>),
}

/// A transaction. One that is dropped is rolled back.
pub(super) enum Transaction {
    Postgres(DatabaseTransaction),
    Sqlite(sqlite::Transaction),
}

impl Pool {
    /// Runs work that consists of transactions: on SQLite, in the thread of a connection.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(Client) -> BoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Postgres(pool) => Ok(work(Client::Postgres(pool.clone())).await),
            Self::Sqlite(threads) => threads.run(|connection| work(Client::Sqlite(connection))).await,
        }
    }

    /// Starts such work without waiting for its end.
    pub(super) fn start(
        &self,
        work: impl FnOnce(Client) -> BoxFuture<'static, ()> + Send + 'static,
    ) -> Result<(), StoreError> {
        match self {
            Self::Postgres(pool) => {
                tokio::spawn(work(Client::Postgres(pool.clone())));
                Ok(())
            }
            Self::Sqlite(threads) => threads.start(|connection| work(Client::Sqlite(connection))),
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

/// Why a statement that must not run twice has returned no rows.
pub(super) enum QueryOnceError {
    /// It has done nothing.
    NotRun(StoreError),
    /// The connection was cut, or there was no answer in time: the statement may have run.
    Unknown(StoreError),
}

impl Client {
    /// The dialect of its statements.
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// Returns the rows of a statement that is a whole transaction. It is sent over one connection only.
    pub(super) async fn query_once(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, QueryOnceError> {
        match self {
            Self::Postgres(pool) => match within_timeout(pool.query_all_raw(statement(sql, values))).await {
                Ok(Ok(rows)) => Ok(rows.into_iter().map(Row::Postgres).collect()),
                Ok(Err(error)) if was_cut(&error) => Err(QueryOnceError::Unknown(error.into())),
                Ok(Err(error)) => Err(QueryOnceError::NotRun(error.into())),
                Err(silent) => Err(QueryOnceError::Unknown(silent)),
            },
            Self::Sqlite(connection) => {
                let rows = connection.set_durability(Durability::Full).and_then(|()| connection.query(&sql, &values));
                rows.map(sqlite_rows).map_err(QueryOnceError::NotRun)
            }
        }
    }

    /// Begins a write transaction. On SQLite it takes the write lock at once, because a transaction that began by reading
    /// might not get it later. A BEGIN that fails has done nothing.
    pub(super) async fn begin(&self, durability: Durability) -> Result<Transaction, StoreError> {
        match self {
            Self::Postgres(pool) => Ok(Transaction::Postgres(statement_result(retry_if_cut(|| pool.begin())).await?)),
            Self::Sqlite(connection) => {
                let transaction = sqlite::Transaction::begin(connection.clone(), durability)?;
                Ok(Transaction::Sqlite(transaction))
            }
        }
    }
}

impl Transaction {
    /// Begins a savepoint: a part of this transaction that can be rolled back alone.
    pub(super) async fn begin(&self) -> Result<Self, StoreError> {
        match self {
            Self::Postgres(transaction) => Ok(Self::Postgres(statement_result(transaction.begin()).await?)),
            Self::Sqlite(transaction) => Ok(Self::Sqlite(transaction.nested()?)),
        }
    }

    /// Makes the whole transaction durable in full, whatever it was begun with: it is on the disk before [`Self::commit`]
    /// returns. For work that finds out only inside the transaction that a power cut must not take it.
    pub(super) fn require_full_durability(&self) {
        match self {
            Self::Postgres(_) => {} // every transaction is
            Self::Sqlite(transaction) => transaction.connection().require_full_durability(),
        }
    }

    /// Returns the durability of the whole transaction.
    #[cfg(test)]
    pub(super) fn durability(&self) -> Durability {
        match self {
            Self::Postgres(_) => Durability::Full,
            Self::Sqlite(transaction) => transaction.connection().durability(),
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction) => statement_result(transaction.commit()).await,
            Self::Sqlite(transaction) => transaction.commit(),
        }
    }

    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction) => statement_result(transaction.rollback()).await,
            Self::Sqlite(transaction) => transaction.rollback(),
        }
    }
}

impl Connection for Pool {
    async fn query_sql(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Postgres(pool) => {
                let statement = statement(sql, values);
                postgres_rows(retry_if_cut(|| pool.query_all_raw(statement.clone()))).await
            }
            Self::Sqlite(threads) => {
                let query = move |connection: &sqlite::Connection| connection.query(&sql, &values);
                Ok(sqlite_rows(within_timeout(threads.call(query)).await???))
            }
        }
    }

    async fn execute_sql(&self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(pool) => {
                let statement = statement(sql, values);
                Ok(statement_result(retry_if_cut(|| pool.execute_raw(statement.clone()))).await?.rows_affected())
            }
            Self::Sqlite(threads) => {
                let execute = move |connection: &sqlite::Connection| connection.execute(&sql, &values);
                within_timeout(threads.call(execute)).await??
            }
        }
    }
}

impl Connection for Transaction {
    async fn query_sql(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Postgres(transaction) => postgres_rows(transaction.query_all_raw(statement(sql, values))).await,
            Self::Sqlite(transaction) => Ok(sqlite_rows(transaction.connection().query(&sql, &values)?)),
        }
    }

    async fn execute_sql(&self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(transaction) => {
                Ok(statement_result(transaction.execute_raw(statement(sql, values))).await?.rows_affected())
            }
            Self::Sqlite(transaction) => transaction.connection().execute(&sql, &values),
        }
    }
}

fn statement(sql: String, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

async fn postgres_rows(asked: impl Future<Output = Result<Vec<QueryResult>, DbErr>>) -> Result<Vec<Row>, StoreError> {
    Ok(statement_result(asked).await?.into_iter().map(Row::Postgres).collect())
}

fn sqlite_rows(rows: Vec<sqlite::Row>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

/// Runs a statement again if its connection had been cut.
pub(super) async fn retry_if_cut<T, F: Future<Output = Result<T, DbErr>>>(run: impl Fn() -> F) -> Result<T, DbErr> {
    for _ in 1..CONNECTION_ATTEMPTS {
        match run().await {
            Err(error) if was_cut(&error) => {}
            answer => return answer,
        }
    }
    run().await
}
