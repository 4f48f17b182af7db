//! One connection to SQLite: statements in this project's dialect, and what they answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, Null, ToSql, ToSqlOutput, Value as Column, ValueRef};
use rusqlite::{OpenFlags, Statement};
use sea_orm::{DbErr, RuntimeErr, Value};

use crate::store::StoreError;

/// How long a connection waits for another process that holds the file.
const BUSY: Duration = Duration::from_secs(2);
/// So many statements stay prepared.
const PREPARED: usize = 256;

/// A connection, of the thread that serves it.
#[derive(Debug)]
pub(in crate::store) struct Connection {
    /// `None` once it is closed. The lock is never waited for: only its own thread takes it. Not an async mutex: nothing
    /// is awaited while it is held.
    sqlite: Mutex<Option<rusqlite::Connection>>,
}

/// A row of an answer.
#[derive(Debug)]
pub(in crate::store) struct Row {
    names: Arc<[String]>,
    columns: Vec<Column>,
}

impl Connection {
    /// Opens a file, given as SQLite's URI.
    pub(super) fn open(file: &str, reads_only: bool) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = rusqlite::Connection::open_with_flags(file, flags)?;
        sqlite.busy_timeout(BUSY)?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        // A plan is for a text, whatever is asked with it; otherwise a range that begins elsewhere is planned anew.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        sqlite.execute_batch(
            // An acknowledged message survives a power cut: the log is synced at every commit.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000;",
        )?;
        sqlite.execute_batch(if reads_only {
            "PRAGMA cache_size = -1024; PRAGMA query_only = ON;"
        } else {
            // What has been removed is overwritten in the file, as far as SQLite knows of copies: pages that moved rows
            // have left behind, and the write-ahead log until its next round, may hold some for a while.
            "PRAGMA cache_size = -4096; PRAGMA secure_delete = ON;"
        })?;
        Ok(Self { sqlite: Mutex::new(Some(sqlite)) })
    }

    /// The rows that a statement answers.
    pub(in crate::store) fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.with(|sqlite| {
            let mut statement = sqlite.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let names: Arc<[String]> = statement.column_names().into_iter().map(str::to_owned).collect();
            let (mut rows, mut found) = (statement.raw_query(), Vec::new());
            while let Some(row) = rows.next()? {
                let columns = (0..names.len()).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                found.push(Row { names: names.clone(), columns });
            }
            Ok(found)
        })
    }

    /// Runs a statement; answers how many rows it changed.
    pub(in crate::store) fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.with(|sqlite| {
            let mut statement = sqlite.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {} // what a PRAGMA or a SELECT answers is of no interest
            drop(rows);
            let changed = if statement.readonly() { 0 } else { sqlite.changes() };
            Ok(changed)
        })
    }

    /// Whether no transaction is open.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().as_ref().is_none_or(rusqlite::Connection::is_autocommit)
    }

    /// Undoes what a job has left open.
    pub(super) fn tidy(&self) {
        if !self.is_idle()
            && let Err(error) = self.execute("ROLLBACK", &[])
        {
            tracing::error!(%error, "a transaction could not be undone");
        }
    }

    /// Closes the file.
    pub(super) fn close(&self) {
        if let Some(Err((_, error))) = self.lock().take().map(rusqlite::Connection::close) {
            tracing::warn!(%error, "the database did not close");
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        match &*self.lock() {
            Some(sqlite) => Ok(ask(sqlite)?),
            None => Err(super::gone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<rusqlite::Connection>> {
        self.sqlite.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    /// A column, by its name.
    pub(in crate::store) fn get<T: FromSql>(&self, name: &str) -> Result<T, DbErr> {
        let fails = |why: String| DbErr::Type(format!("column {name}: {why}"));
        let at = self.names.iter().position(|other| other == name).ok_or_else(|| fails("is not there".into()))?;
        T::column_result(ValueRef::from(&self.columns[at])).map_err(|error| fails(error.to_string()))
    }
}

/// SQLite takes `$1` for a name, and knows no numbers but by the order in which names come.
fn bind(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    for place in 1..=statement.parameter_count() {
        let named = statement.parameter_name(place).and_then(|name| name[1..].parse::<usize>().ok());
        let value = values.get(named.unwrap_or(place) - 1);
        statement.raw_bind_parameter(place, value.map(Parameter))?;
    }
    Ok(())
}

struct Parameter<'a>(&'a Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            Value::Bool(value) => value.to_sql(),
            Value::SmallInt(value) => value.to_sql(),
            Value::Int(value) => value.to_sql(),
            Value::BigInt(value) => value.to_sql(),
            Value::String(value) => value.to_sql(),
            Value::Bytes(value) => value.to_sql(),
            Value::Uuid(Some(value)) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(value.as_bytes()))),
            Value::Uuid(None) => Null.to_sql(),
            other => Err(rusqlite::Error::ToSqlConversionFailure(format!("no place for {other:?}").into())),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        if StoreError::passes_in_sqlite(code) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Database(DbErr::Query(RuntimeErr::Internal(error.to_string())))
        }
    }
}
