//! Runs raw SQL: one text for both databases, with `$1`-style parameters, which SQLite reads as well.

use std::fmt::Write as _;

use sea_orm::{DbBackend, Value};

use super::StoreError;
use super::pool::{Connection, Row};
use super::sqlite::Column;

/// Returns all rows of a query.
pub(super) async fn rows(
    on: &impl Connection,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    on.query_sql(sql.into(), values).await
}

/// Returns the first row of a query.
pub(super) async fn row(
    on: &impl Connection,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Option<Row>, StoreError> {
    Ok(rows(on, sql, values).await?.into_iter().next())
}

/// Runs a statement; returns the number of rows that it changed.
pub(super) async fn exec(on: &impl Connection, sql: impl Into<String>, values: Vec<Value>) -> Result<u64, StoreError> {
    on.execute_sql(sql.into(), values).await
}

/// Returns a column of a row.
pub(super) fn get<T: Column>(row: &Row, column: &str) -> Result<T, StoreError> {
    Ok(row.get(column)?)
}

/// Fills a list for `IN` up to a power of two, so that there are few texts, and they stay prepared.
pub(super) fn filled<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// Returns `$first,$first+1,…`: the parameters of an `IN` list of `count` values.
pub(super) fn places(first: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 5);
    for i in first..first + count {
        let _ = write!(text, "{}${i}", if i == first { "" } else { "," });
    }
    text
}

/// Returns the clause that locks the rows of a query until the transaction ends. On SQLite, the writer holds the whole
/// database anyway.
pub(super) fn for_update(on: &impl Connection) -> &'static str {
    match on.backend() {
        DbBackend::Postgres => " FOR UPDATE",
        _ => "",
    }
}

/// As [`for_update`], but several transactions may hold the lock at once.
pub(super) fn for_share(on: &impl Connection) -> &'static str {
    match on.backend() {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    }
}
