//! One connection to SQLite: runs statements of this project's dialect and reads their rows.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, Null, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, Statement};
use sea_orm::{DbErr, RuntimeErr, Value};

use crate::store::durability::Durability;
use crate::store::error::StoreError;

/// The time that a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of statements that stay prepared.
const STATEMENT_CACHE_CAPACITY: usize = 256;

/// The time after its commit at which a transaction of delayed durability is on the disk at the latest.
const SYNC_DELAY: Duration = Duration::from_millis(100);

/// A connection. It belongs to the thread that serves it.
#[derive(Debug)]
pub(in crate::store) struct Connection {
    /// `None` once it is closed. The locks are never contended, as only the connection's thread takes them. Not async
    /// mutexes: nothing is awaited while they are held.
    sqlite: Mutex<Option<rusqlite::Connection>>,
    /// True if commits do not sync the write-ahead log and leave that to [`Self::sync`].
    delays: AtomicBool,
    /// True if the open transaction is to be synced after its commit, although it was begun with delayed durability.
    full_required: AtomicBool,
    /// The time by which commits of delayed durability are to be synced; `None` if all are on the disk.
    due: Mutex<Option<Instant>>,
    /// The write-ahead log, from its first sync on: it stays open, so that a process without free file descriptors can
    /// still sync it. It is the same file for as long as a connection has the database open.
    log: OnceLock<File>,
    /// True if the last due sync has failed, and the log has a line about it.
    failing: AtomicBool,
}

/// A row of a result.
#[derive(Debug)]
pub(in crate::store) struct Row {
    answer: Arc<Answer>,
    /// The index of its first cell.
    first: usize,
}

/// The rows of a query in few allocations: most cells of a page of hundreds of rows are read once and never copied.
#[derive(Debug, Default)]
struct Answer {
    /// The names of the columns, as ranges of `bytes`.
    names: Vec<Range<usize>>,
    /// The cells, row by row.
    cells: Vec<Cell>,
    /// The names, texts and blobs.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl Connection {
    /// Opens a file, given as an SQLite URI.
    pub(super) fn open(file: &str, reads_only: bool) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = rusqlite::Connection::open_with_flags(file, flags)?;
        sqlite.busy_timeout(BUSY_TIMEOUT)?;
        sqlite.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
        // The plan of a statement must not depend on bound values (QPSG), or SQLite would prepare it again for other values.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        sqlite.execute_batch(
            // An acknowledged message survives a power cut: the log is synced at each commit of full durability.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000;",
        )?;
        sqlite.execute_batch(if reads_only {
            "PRAGMA cache_size = -1024; PRAGMA query_only = ON;"
        } else {
            // Removed content is overwritten in the file. Old copies may remain for a while in pages from which rows were
            // moved, and in the write-ahead log until it is written from its start again.
            "PRAGMA cache_size = -4096; PRAGMA secure_delete = ON;"
        })?;
        Ok(Self {
            sqlite: Mutex::new(Some(sqlite)),
            delays: AtomicBool::new(false),
            full_required: AtomicBool::new(false),
            due: Mutex::new(None),
            log: OnceLock::new(),
            failing: AtomicBool::new(false),
        })
    }

    /// Sets the durability of the transactions that begin after this call. Each transaction sets its own.
    pub(in crate::store) fn set_durability(&self, durability: Durability) -> Result<(), StoreError> {
        self.full_required.store(false, Ordering::Relaxed);
        let delays = durability == Durability::Delayed;
        if self.delays.load(Ordering::Relaxed) == delays {
            return Ok(());
        }
        // Not a cached statement: the pragma takes effect when it is prepared, so a cached one would do nothing.
        let level = if delays { "NORMAL" } else { "FULL" };
        self.with(|sqlite| Ok(sqlite.pragma_update(None, "synchronous", level)?))?;
        self.delays.store(delays, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the open transaction durable in full, see [`Self::record_commit`]. SQLite's own level cannot be changed inside
    /// a transaction.
    pub(in crate::store) fn require_full_durability(&self) {
        self.full_required.store(true, Ordering::Relaxed);
    }

    /// Returns the durability of the open transaction.
    pub(in crate::store) fn durability(&self) -> Durability {
        let delayed = self.delays.load(Ordering::Relaxed) && !self.full_required.load(Ordering::Relaxed);
        if delayed { Durability::Delayed } else { Durability::Full }
    }

    /// Called after each COMMIT. SQLite itself has synced a transaction that was begun with full durability. One that
    /// required it later is synced here, and one of delayed durability gets the time by which it is to be synced.
    pub(super) fn record_commit(&self) -> Result<(), StoreError> {
        if !self.delays.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.due.lock().get_or_insert_with(|| Instant::now() + SYNC_DELAY);
        if self.durability() == Durability::Full { self.sync() } else { Ok(()) }
    }

    /// Returns the time by which commits are to be synced; `None` if all are on the disk.
    pub(in crate::store) fn due(&self) -> Option<Instant> {
        *self.due.lock()
    }

    /// Syncs all commits to the disk. SQLite appends later transactions to the same log, and a log that was cut off counts
    /// up to the cut: the disk never holds a later transaction without an earlier one.
    pub(in crate::store) fn sync(&self) -> Result<(), StoreError> {
        let synced = match self.log.get() {
            Some(log) => log.sync_data(),
            None => match self.open_log()? {
                Some(Ok(log)) => self.log.get_or_init(|| log).sync_data(),
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()), // a database without such a log was synced by SQLite itself
            },
        };
        synced.map_err(|error| StoreError::Unavailable(format!("the write-ahead log could not be synced: {error}")))?;
        *self.due.lock() = None;
        Ok(())
    }

    /// Opens the write-ahead log; `None` for a database that is not in a file.
    pub(super) fn open_log(&self) -> Result<Option<io::Result<File>>, StoreError> {
        self.with(|sqlite| {
            let path = sqlite.path().filter(|path| !path.is_empty());
            Ok(path.map(|path| File::open(format!("{path}-wal"))))
        })
    }

    /// Calls [`Self::sync`] if it is due. A failed sync is retried, and logged once.
    pub(super) fn sync_if_due(&self) {
        let now = Instant::now();
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let synced = self.sync();
        let failed_before = self.failing.swap(synced.is_err(), Ordering::Relaxed);
        if let Err(error) = synced {
            if !failed_before {
                tracing::error!(%error, "what was acknowledged would not survive a power cut yet, trying again");
            }
            *self.due.lock() = Some(now + SYNC_DELAY);
        }
    }

    /// Runs a statement and returns its rows.
    pub(in crate::store) fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.with(|sqlite| {
            let mut statement = sqlite.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let mut answer = Answer::default();
            for name in statement.column_names() {
                let name = answer.keep(name.as_bytes());
                answer.names.push(name);
            }
            let columns = answer.names.len();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    let cell = answer.cell(row.get_ref(column)?);
                    answer.cells.push(cell);
                }
            }
            let (count, answer) = (answer.cells.len().checked_div(columns).unwrap_or_default(), Arc::new(answer));
            Ok((0..count).map(|row| Row { answer: answer.clone(), first: row * columns }).collect())
        })
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(in crate::store) fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.with(|sqlite| {
            let mut statement = sqlite.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {} // the rows of a PRAGMA or a SELECT are not needed
            drop(rows);
            let changed = if statement.readonly() { 0 } else { sqlite.changes() };
            Ok(changed)
        })
    }

    /// Returns true if no transaction is open.
    pub(super) fn is_idle(&self) -> bool {
        self.sqlite.lock().as_ref().is_none_or(rusqlite::Connection::is_autocommit)
    }

    /// Rolls back a transaction that a job has left open.
    pub(super) fn roll_back_open(&self) {
        if !self.is_idle()
            && let Err(error) = self.execute("ROLLBACK", &[])
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Closes the file.
    pub(super) fn close(&self) {
        if self.due().is_some()
            && let Err(error) = self.sync()
        {
            tracing::error!(%error, "what was acknowledged last would not survive a power cut");
        }
        if let Some(Err((_, error))) = self.sqlite.lock().take().map(rusqlite::Connection::close) {
            tracing::warn!(%error, "the database did not close");
        }
    }

    /// Calls `work` with the connection of rusqlite: for code that runs many statements in a row.
    pub(in crate::store) fn with<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.sqlite.lock() {
            Some(sqlite) => work(sqlite),
            None => Err(StoreError::closed()),
        }
    }
}

impl Answer {
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    fn cell(&mut self, value: ValueRef<'_>) -> Cell {
        match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(value) => Cell::Integer(value),
            ValueRef::Real(value) => Cell::Real(value),
            ValueRef::Text(text) => Cell::Text(self.keep(text)),
            ValueRef::Blob(blob) => Cell::Blob(self.keep(blob)),
        }
    }
}

impl Row {
    /// Returns the value of a column.
    pub(in crate::store) fn get<T: FromSql>(&self, name: &str) -> Result<T, DbErr> {
        let fails = |why: String| DbErr::Type(format!("column {name}: {why}"));
        let Answer { names, cells, bytes } = &*self.answer;
        let column = names.iter().position(|other| bytes[other.clone()] == *name.as_bytes());
        let value = match &cells[self.first + column.ok_or_else(|| fails("is not there".into()))?] {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(*value),
            Cell::Real(value) => ValueRef::Real(*value),
            Cell::Text(at) => ValueRef::Text(&bytes[at.clone()]),
            Cell::Blob(at) => ValueRef::Blob(&bytes[at.clone()]),
        };
        T::column_result(value).map_err(|error| fails(error.to_string()))
    }
}

/// Binds `$1`, `$2`, … by their numbers. SQLite takes `$1` for a name and numbers names in the order in which they occur.
pub(super) fn bind(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
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
            // sea-orm binds a LIMIT as unsigned.
            Value::BigUnsigned(value) => {
                Ok(value.map_or(Null.into(), |value| i64::try_from(value).unwrap_or(i64::MAX).into()))
            }
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_asked_with_it() -> Result<(), Box<dyn std::error::Error>> {
        const SQL: &str = "SELECT a FROM t WHERE b > $1 ORDER BY b LIMIT $2";
        let folder = tempfile::tempdir()?;
        let file = format!("file:{}/p.db?mode=rwc", folder.path().display());
        let connection = Connection::open(&file, false)?;
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)", &[])?;
        connection.execute("CREATE INDEX by_b ON t (b)", &[])?;
        for from in 0..4i64 {
            connection.query(SQL, &[from.into(), (9 - from).into()])?;
        }
        let again = connection.with(|sqlite| Ok(sqlite.prepare_cached(SQL)?.get_status(StatementStatus::RePrepare)))?;
        assert_eq!(again, 0);
        Ok(())
    }
}
