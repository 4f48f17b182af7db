//! What the database knows of itself: made once, by whichever instance comes first.

use super::pool::Transaction;
use super::{Store, StoreError, dialect};

/// The database's own values.
#[derive(Clone)]
pub struct Meta {
    /// Tells this database from any other: event ids of another one count as none.
    pub epoch: u32,
    /// Signs tokens where no key is configured.
    pub token_key: Vec<u8>,
    /// Hashes device ids; never configured, so that a new token key loses no account.
    pub device_key: Vec<u8>,
}

impl Store {
    /// Reads them, or makes them.
    pub async fn meta(&self) -> Result<Meta, StoreError> {
        let fresh: [(&'static str, Vec<u8>); 3] = [
            ("epoch", self.clock().random_bytes::<4>().to_vec()),
            ("token_key", self.clock().random_bytes::<32>().to_vec()),
            ("device_key", self.clock().random_bytes::<32>().to_vec()),
        ];
        let [epoch, token_key, device_key] = self.change(move |tx| Box::pin(insert_or_read(tx, fresh))).await?;
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
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        dialect::exec(tx, sql, vec![name.into(), hex(&value).into()]).await?;
        let sql = "SELECT value FROM meta WHERE name = $1";
        let row = dialect::row(tx, sql, vec![name.into()]).await?.ok_or(StoreError::Corrupt("meta row"))?;
        *place = unhex(&dialect::get::<String>(&row, "value")?).ok_or(StoreError::Corrupt("meta value"))?;
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
