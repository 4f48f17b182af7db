//! Values of the database itself, made by the instance that starts first.

use parlour_entity::meta as entity;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, Set};

use super::durability::Durability;
use super::pool::Transaction;
use super::{Store, StoreError};

/// The database's own values.
#[derive(Clone)]
pub(crate) struct Meta {
    /// Tells this database from any other: event ids of another one are ignored.
    pub epoch: u32,
    /// Signs tokens where no key is configured. 32 bytes.
    pub token_key: Vec<u8>,
    /// Hashes device ids. 32 bytes, never configured, so that no account is lost with a new token key.
    pub device_key: Vec<u8>,
}

impl Store {
    /// Reads the values; makes those that are missing.
    ///
    /// # Errors
    /// The database is unavailable, refuses, or holds something else.
    pub(crate) async fn meta(&self) -> Result<Meta, StoreError> {
        let fresh: [(&'static str, Vec<u8>); 3] = [
            ("epoch", self.clock().random_bytes::<4>().to_vec()),
            ("token_key", self.clock().random_bytes::<32>().to_vec()),
            ("device_key", self.clock().random_bytes::<32>().to_vec()),
        ];
        let [epoch, token_key, device_key] =
            self.write(Durability::Full, move |tx| Box::pin(insert_or_read(tx, fresh))).await?;
        let epoch = epoch.try_into().map(u32::from_be_bytes).map_err(|_| StoreError::Corrupt("epoch"))?;
        Ok(Meta { epoch, token_key, device_key })
    }
}

async fn insert_or_read<const N: usize>(
    tx: &Transaction,
    fresh: [(&'static str, Vec<u8>); N],
) -> Result<[Vec<u8>; N], StoreError> {
    let mut values = [const { Vec::new() }; N];
    for (place, (name, value)) in values.iter_mut().zip(fresh) {
        let row = entity::ActiveModel { name: Set(name.to_owned()), value: Set(hex(&value)) };
        let unless_there = OnConflict::column(entity::Column::Name).do_nothing().to_owned();
        entity::Entity::insert(row).on_conflict(unless_there).exec_without_returning(tx).await?;
        let row = entity::Entity::find_by_id(name).one(tx).await?.ok_or(StoreError::Corrupt("meta row"))?;
        *place = unhex(&row.value).ok_or(StoreError::Corrupt("meta value"))?;
    }
    Ok(values)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits?.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}
