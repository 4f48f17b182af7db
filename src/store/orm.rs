//! Runs sea-orm's entities on this service's connections: `Entity::find().one(tx)` and its like work on a pool and in a
//! transaction, on PostgreSQL and on SQLite.
//!
//! On PostgreSQL a statement goes on to sea-orm with the same time limit and the same retries after a cut connection as
//! raw SQL (`pool`). On SQLite it runs on the connection of this service.

use sea_orm::prelude::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, ProxyRow, QueryResult, RuntimeErr};
use sea_orm::{Statement, Value};

use super::StoreError;
use super::pool::{Pool, Transaction, retry_if_cut};
use super::timeouts::within_timeout;

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Postgres(pool) => within_timeout(retry_if_cut(|| pool.execute_raw(statement.clone()))).await?,
            Self::Sqlite(threads) => {
                let (sql, values) = parts(statement);
                let done = within_timeout(threads.call(move |connection| connection.execute_entity(&sql, &values)))
                    .await???;
                Ok(done.into())
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.get_database_backend(), sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Postgres(pool) => within_timeout(retry_if_cut(|| pool.query_all_raw(statement.clone()))).await?,
            Self::Sqlite(threads) => {
                let (sql, values) = parts(statement);
                let rows =
                    within_timeout(threads.call(move |connection| connection.query_entity(&sql, &values))).await???;
                Ok(results(rows))
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Postgres(transaction) => within_timeout(transaction.execute_raw(statement)).await?,
            Self::Sqlite(transaction) => {
                let (sql, values) = parts(statement);
                Ok(transaction.connection().execute_entity(&sql, &values)?.into())
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.get_database_backend(), sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Postgres(transaction) => within_timeout(transaction.query_all_raw(statement)).await?,
            Self::Sqlite(transaction) => {
                let (sql, values) = parts(statement);
                Ok(results(transaction.connection().query_entity(&sql, &values)?))
            }
        }
    }
}

/// On its way through sea-orm an error keeps its kind: `From<DbErr> for StoreError` restores it.
impl From<StoreError> for DbErr {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Conn(RuntimeErr::Internal(why)),
            StoreError::Database(error) => error,
            StoreError::Corrupt(_) => Self::Type(error.to_string()),
        }
    }
}

fn parts(statement: Statement) -> (String, Vec<Value>) {
    (statement.sql, statement.values.map_or_else(Vec::new, |values| values.0))
}

fn results(rows: Vec<ProxyRow>) -> Vec<QueryResult> {
    rows.into_iter().map(QueryResult::from).collect()
}
