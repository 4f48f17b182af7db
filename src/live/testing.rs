//! A hub for unit tests.

use std::error::Error;
use std::time::Duration;

use uuid::Uuid;

use super::{Hub, HubSettings};
use crate::bus::{Backend, Bus};
use crate::model::Clock;
use crate::store::{Pools, Store};

/// A hub that does no regular work, on this database, and the store of the database.
pub(crate) async fn hub(url: &str) -> Result<(Hub, Store), Box<dyn Error>> {
    let pools = Pools::connect(url, 2).await?;
    pools.migrate().await?;
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
    Ok((Hub::new(store.clone(), bus, clock, settings), store))
}
