//! Running statements: one text for both databases, with `$1`-style parameters, which SQLite reads as well.

use std::fmt::Write as _;
use std::time::Duration;

use rusqlite::types::FromSql;
use sea_orm::{DbBackend, DbErr, TryGetable, Value};

use super::StoreError;
use super::pool::{Connection, Row};

/// How long the database may take to answer a statement. PostgreSQL's own limit, `connect::STATEMENT`, is shorter: beyond
/// this one it is not slow but gone, and the network has not said so, which it may not do for a quarter of an hour.
const ANSWER: Duration = Duration::from_secs(10);

/// What comes, if it comes in time.
pub(super) async fn in_time<T>(asked: impl Future<Output = T>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(ANSWER, asked).await;
    answer.map_err(|_| StoreError::Unavailable("no answer to a statement".into()))
}

/// What the database answers, if it answers in time.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    Ok(in_time(asked).await??)
}

/// All rows of a query.
pub(super) async fn rows(
    on: &impl Connection,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    on.query_sql(sql.into(), values).await
}

/// The first row of a query.
pub(super) async fn row(
    on: &impl Connection,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Option<Row>, StoreError> {
    Ok(rows(on, sql, values).await?.into_iter().next())
}

/// Runs a statement; answers how many rows it changed.
pub(super) async fn exec(on: &impl Connection, sql: impl Into<String>, values: Vec<Value>) -> Result<u64, StoreError> {
    on.execute_sql(sql.into(), values).await
}

/// A column of a row.
pub(super) fn get<T: TryGetable + FromSql>(row: &Row, column: &str) -> Result<T, StoreError> {
    Ok(row.get(column)?)
}

/// Fills a list for `IN` up to a power of two: there are few texts then, and they stay prepared.
pub(super) fn filled<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
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
pub(super) fn for_update(on: &impl Connection) -> &'static str {
    match on.backend() {
        DbBackend::Postgres => " FOR UPDATE",
        _ => "",
    }
}

/// As [`for_update`], but several may hold it at once.
pub(super) fn for_share(on: &impl Connection) -> &'static str {
    match on.backend() {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    }
}
