//! A hub for unit tests.

use std::error::Error;
use std::ops::Deref;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::{Hub, HubSettings};
use crate::bus::{Backend, Bus};
use crate::model::Clock;
use crate::store::Store;
use crate::store::testing::TestDatabase;

/// A hub that does no regular work, on a database of its own. The file is deleted when this is dropped.
pub(crate) struct TestHub {
    hub: Hub,
    _folder: TempDir,
}

impl TestHub {
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let TestDatabase { pools, folder } = TestDatabase::migrated().await?;
        let clock = Clock::default();
        let store = Store::new(pools, clock.clone());
        let long = Duration::from_secs(600);
        let settings = HubSettings {
            epoch: 1,
            instance: Uuid::now_v7(),
            presence_interval: long,
            presence_grace: long,
            presence_list: 10,
            lease: long,
            keepalive: long,
            max_age: long,
            replay: 10,
        };
        let (bus, _) = Bus::start(Backend::Local, settings.instance, settings.epoch, clock.clone())?;
        Ok(Self { hub: Hub::new(store, bus, clock, settings), _folder: folder })
    }
}

impl Deref for TestHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}
