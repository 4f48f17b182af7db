//! Database errors, in two classes: those for which a retry may help, and faults of this program.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Why the database did not run a statement.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away or busy: a retry may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refused a statement: a fault of this program or of the schema.
    #[error("the database refused: {0}")]
    Database(#[source] DbErr),
    /// The database holds a value that this program never writes.
    #[error("the database holds an impossible {0}")]
    Corrupt(&'static str),
}

impl StoreError {
    /// The database has been closed by this program.
    pub(super) fn closed() -> Self {
        Self::Unavailable("the database is closed".into())
    }

    /// Reports whether a statement that SQLite has refused with this code may succeed later.
    pub(super) fn passes_in_sqlite(code: i32) -> bool {
        // BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN; extended codes carry more in their higher bytes
        [5, 6, 8, 10, 13, 14].contains(&(code & 0xff))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let passes = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => passes(e),
            _ => false,
        };
        if passes { Self::Unavailable(error.to_string()) } else { Self::Database(error) }
    }
}

/// Reports whether the connection was cut: over another one, the same statement may succeed at once.
pub(super) fn was_cut(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    match &**error {
        SqlxError::Io(_) => true,
        // an administrator's command, or a server that stops
        SqlxError::Database(refusal) => refusal.code().is_some_and(|code| code == "57P01"),
        _ => false,
    }
}

/// Reports whether the same statement may succeed later.
fn passes(error: &SqlxError) -> bool {
    match error {
        SqlxError::Database(refusal) => refusal.code().is_some_and(|code| passing_code(&code)),
        SqlxError::Io(_) | SqlxError::Tls(_) | SqlxError::Protocol(_) => true,
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::WorkerCrashed => true,
        _ => false,
    }
}

/// PostgreSQL's SQLSTATE (documentation, appendix A) or SQLite's result code (sqlite.org/rescode.html).
fn passing_code(code: &str) -> bool {
    if code.len() == 5 {
        // connection, resources, operator intervention; serialization failure, deadlock, lock not available, read-only,
        // a transaction that was idle for too long
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || ["40001", "40P01", "55P03", "25006", "25P03"].contains(&code);
    }
    code.parse::<i32>().is_ok_and(StoreError::passes_in_sqlite)
}
