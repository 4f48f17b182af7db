//! Temporary SQLite databases for unit tests.

use std::error::Error;
use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

use super::{Pools, Store};
use crate::model::Clock;

/// Connections to a database of their own. The file is deleted when this is dropped.
pub(crate) struct TestDatabase {
    pub(crate) pools: Pools,
    pub(crate) folder: TempDir,
}

impl TestDatabase {
    /// Makes one without tables.
    pub(crate) async fn empty() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let pools = Pools::connect(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 2).await?;
        Ok(Self { pools, folder })
    }

    /// Makes one with all tables.
    pub(crate) async fn migrated() -> Result<Self, Box<dyn Error>> {
        let database = Self::empty().await?;
        database.pools.migrate().await?;
        Ok(database)
    }
}

/// A store on a database of its own. The file is deleted when this is dropped.
pub(crate) struct TestStore {
    store: Store,
    folder: TempDir,
}

impl TestStore {
    /// Makes one with all tables.
    pub(crate) async fn new(clock: Clock) -> Result<Self, Box<dyn Error>> {
        let TestDatabase { pools, folder } = TestDatabase::migrated().await?;
        Ok(Self { store: Store::new(pools, clock), folder })
    }

    /// Returns the folder of its file.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
