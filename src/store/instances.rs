//! Leases: one row per instance says that it lives, and with it all sessions whose streams it holds.

use std::time::{Duration, Instant};

use parlour_entity::instance as entity;
use sea_orm::{DbBackend, EntityTrait as _, QueryTrait as _};
use uuid::Uuid;

use super::pool::{Connection as _, Transaction};
use super::{Store, StoreError, dialect};
use crate::model::Millis;

/// Sessions that are taken from a dead instance in one transaction.
const EXPIRE_BATCH: usize = 500;

impl Store {
    /// Says that this instance lives for `lease` from now, and learns the database's time by the way. Answers until
    /// when.
    pub async fn renew_lease(&self, instance: Uuid, lease: Duration) -> Result<Millis, StoreError> {
        self.learn_clock().await?;
        let until = self.now().plus(lease);
        let sql = "INSERT INTO instance (id, lease_until) VALUES ($1, $2) \
                   ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
        let values = vec![instance.into(), until.0.into()];
        if self.inner.changes.is_some() {
            self.change(move |tx| Box::pin(async move { dialect::exec(tx, sql, values).await })).await?;
        } else {
            dialect::exec(&self.inner.pools.lease, sql, values).await?;
        }
        Ok(until)
    }

    /// Measures how far the database's clock is from ours: at first a few times, as the quickest answer tells best.
    async fn learn_clock(&self) -> Result<(), StoreError> {
        let lease = &self.inner.pools.lease;
        if lease.backend() != DbBackend::Postgres {
            return Ok(());
        }
        for _ in 0..if self.inner.skew.is_known() { 1 } else { 3 } {
            let (before, asked) = (self.clock().now(), Instant::now());
            let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
            let Some(row) = dialect::row(lease, sql, vec![]).await? else { continue };
            let there: i64 = dialect::get(&row, "now")?;
            let here = i64::midpoint(before.0, self.clock().now().0);
            self.inner.skew.learn(there.saturating_sub(here), asked.elapsed(), asked);
        }
        Ok(())
    }

    /// Gives the lease back: streams that were not closed one by one count as closed now.
    pub async fn release_lease(&self, instance: Uuid, grace: Duration) -> Result<(), StoreError> {
        self.take_offline(instance, self.now().plus(grace), Millis(i64::MAX)).await
    }

    /// Buries other instances whose lease lapsed longer than `grace` ago; their sessions are offline already, by the
    /// clock.
    pub async fn expire_instances(&self, own: Uuid, grace: Duration) -> Result<(), StoreError> {
        let lapsed = self.now().minus(grace);
        let sql = "SELECT id, lease_until FROM instance WHERE lease_until < $1 AND id <> $2";
        let dead = dialect::rows(self.read(), sql, vec![lapsed.0.into(), own.into()]).await?;
        for row in dead {
            let instance: Uuid = dialect::get(&row, "id")?;
            let until = Millis(dialect::get(&row, "lease_until")?).plus(grace);
            self.take_offline(instance, until, lapsed).await?;
        }
        Ok(())
    }

    /// Takes its sessions from an instance whose lease ended before `lapsed`, in batches, and then forgets it.
    async fn take_offline(&self, instance: Uuid, online_until: Millis, lapsed: Millis) -> Result<(), StoreError> {
        while self.change(move |tx| Box::pin(take_offline(tx, instance, online_until, lapsed))).await? {}
        Ok(())
    }
}

/// One batch; answers whether there may be more.
async fn take_offline(
    tx: &Transaction,
    instance: Uuid,
    online_until: Millis,
    lapsed: Millis,
) -> Result<bool, StoreError> {
    // Locked, so that an instance that wakes renews its lease before this batch or after it. Its streams are its own
    // from then on.
    let sql = format!("SELECT id FROM instance WHERE id = $1 AND lease_until < $2{}", dialect::for_update(tx));
    if dialect::row(tx, sql, vec![instance.into(), lapsed.0.into()]).await?.is_none() {
        return Ok(false);
    }
    // In the order in which every transaction locks sessions.
    let sql = format!(
        "SELECT id FROM session WHERE instance_id = $1 ORDER BY id LIMIT {EXPIRE_BATCH}{}",
        dialect::for_update(tx)
    );
    let rows = dialect::rows(tx, sql, vec![instance.into()]).await?;
    if rows.is_empty() {
        dialect::run(tx, entity::Entity::delete_by_id(instance).build(tx.backend())).await?;
        return Ok(false);
    }
    let sessions = rows.iter().map(|row| dialect::get::<Uuid>(row, "id")).collect::<Result<Vec<_>, _>>()?;
    let places = dialect::places(2, sessions.len());
    let sql = format!("UPDATE session SET instance_id = NULL, online_until = $1 WHERE id IN ({places})");
    let values = [online_until.0.into()].into_iter().chain(sessions.into_iter().map(Into::into));
    dialect::exec(tx, sql, values.collect()).await?;
    Ok(true)
}
