//! A transaction, or a savepoint of one, on the connection of the thread that it runs in.

use std::sync::Arc;

use super::connection::Connection;
use crate::store::durability::Durability;
use crate::store::error::StoreError;

/// A transaction. One that is dropped is rolled back.
pub(in crate::store) struct Transaction {
    connection: Arc<Connection>,
    /// 0 for a whole transaction, otherwise the number of nested savepoints.
    depth: usize,
    open: bool,
}

impl Transaction {
    pub(in crate::store) fn begin(connection: Arc<Connection>, durability: Durability) -> Result<Self, StoreError> {
        connection.set_durability(durability)?;
        connection.execute("BEGIN IMMEDIATE", &[])?;
        Ok(Self { connection, depth: 0, open: true })
    }

    pub(in crate::store) fn nested(&self) -> Result<Self, StoreError> {
        let depth = self.depth + 1;
        self.connection.execute(&format!("SAVEPOINT part_{depth}"), &[])?;
        Ok(Self { connection: self.connection.clone(), depth, open: true })
    }

    pub(in crate::store) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(in crate::store) fn commit(mut self) -> Result<(), StoreError> {
        if self.depth == 0 {
            self.connection.execute("COMMIT", &[])?;
            self.open = false;
            self.connection.record_commit()
        } else {
            self.connection.execute(&format!("RELEASE part_{}", self.depth), &[])?;
            self.open = false;
            Ok(())
        }
    }

    pub(in crate::store) fn rollback(mut self) -> Result<(), StoreError> {
        self.open = false;
        self.undo()
    }

    fn undo(&self) -> Result<(), StoreError> {
        if self.connection.is_idle() {
            return Ok(()); // SQLite has rolled back the whole transaction, as it does when a disk is full
        }
        if self.depth == 0 {
            self.connection.execute("ROLLBACK", &[])?;
        } else {
            self.connection.execute(&format!("ROLLBACK TO part_{}", self.depth), &[])?;
            self.connection.execute(&format!("RELEASE part_{}", self.depth), &[])?;
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.undo()
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}
