//! Running statements: one text for both databases, with `$1`-style parameters, which SQLite reads as well.

use std::fmt::Write as _;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, TryGetable, Value};

use super::StoreError;

/// How long the database may take to answer a statement. Its own limit, `connect::STATEMENT`, is shorter: beyond this one
/// it is not slow but gone, and the network has not said so, which it may not do for a quarter of an hour.
const ANSWER: Duration = Duration::from_secs(10);

/// What the database answers, if it answers in time.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Unavailable("no answer to a statement".into())),
    }
}

/// All rows of a query.
pub(super) async fn rows(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    answered(on.query_all_raw(Statement::from_sql_and_values(on.get_database_backend(), sql, values))).await
}

/// The first row of a query.
pub(super) async fn row(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Option<QueryResult>, StoreError> {
    Ok(rows(on, sql, values).await?.into_iter().next())
}

/// Runs a statement; answers how many rows it changed.
pub(super) async fn exec(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<u64, StoreError> {
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Ok(answered(on.execute_raw(statement)).await?.rows_affected())
}

/// A column of a row.
pub(super) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T, StoreError> {
    Ok(row.try_get("", column)?)
}

/// `$first, $first+1, …`: places for `count` values of an `IN` list.
pub(super) fn places(first: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 5);
    for i in first..first + count {
        let _ = write!(text, "{}${i}", if i == first { "" } else { "," });
    }
    text
}

/// What locks the rows that a query finds until the transaction ends. SQLite's writer holds the whole database anyway.
pub(super) fn for_update(on: &impl ConnectionTrait) -> &'static str {
    match on.get_database_backend() {
        DbBackend::Postgres => " FOR UPDATE",
        _ => "",
    }
}

/// As [`for_update`], but several may hold it at once.
pub(super) fn for_share(on: &impl ConnectionTrait) -> &'static str {
    match on.get_database_backend() {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    }
}
