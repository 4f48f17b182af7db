//! Leases: one row per instance says that it lives, and with it all sessions whose streams it holds.

use std::time::Duration;

use parlour_entity::node as entity;
use sea_orm::{DatabaseTransaction, DbBackend, EntityTrait as _};
use uuid::Uuid;

use super::{Store, StoreError, dialect};
use crate::model::Millis;

impl Store {
    /// Says that this instance lives for `lease` from now, and learns the database's time by the way. Answers until
    /// when.
    pub async fn renew_lease(&self, node: Uuid, lease: Duration) -> Result<Millis, StoreError> {
        self.learn_clock().await?;
        let until = self.now().plus(lease);
        let sql = "INSERT INTO node (id, lease_until) VALUES ($1, $2) \
                   ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
        let values = vec![node.into(), until.0.into()];
        if self.inner.changes.is_some() {
            self.change(move |tx| Box::pin(async move { dialect::exec(tx, sql, values).await })).await?;
        } else {
            dialect::exec(&self.inner.pools.lease, sql, values).await?;
        }
        Ok(until)
    }

    /// Measures how far the database's clock is from ours.
    async fn learn_clock(&self) -> Result<(), StoreError> {
        let lease = &self.inner.pools.lease;
        if lease.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let before = self.clock().now();
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
        if let Some(row) = dialect::row(lease, sql, vec![]).await? {
            let there: i64 = dialect::get(&row, "now")?;
            let here = i64::midpoint(before.0, self.clock().now().0);
            self.inner.skew.store(there.saturating_sub(here), std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives the lease back: streams that were not closed one by one count as closed now.
    pub async fn release_lease(&self, node: Uuid, grace: Duration) -> Result<(), StoreError> {
        let until = self.now().plus(grace);
        self.change(move |tx| Box::pin(async move { bury(tx, node, until).await })).await
    }

    /// Buries other instances whose lease lapsed longer than `grace` ago; their sessions are offline already, by the
    /// clock.
    pub async fn sweep_nodes(&self, own: Uuid, grace: Duration) -> Result<(), StoreError> {
        let now = self.now();
        let sql = "SELECT id, lease_until FROM node WHERE lease_until < $1 AND id <> $2";
        let dead = dialect::rows(self.read(), sql, vec![now.minus(grace).0.into(), own.into()]).await?;
        for row in dead {
            let node: Uuid = dialect::get(&row, "id")?;
            let until = Millis(dialect::get(&row, "lease_until")?).plus(grace);
            self.change(move |tx| Box::pin(async move { bury(tx, node, until).await })).await?;
        }
        Ok(())
    }
}

async fn bury(tx: &DatabaseTransaction, node: Uuid, online_until: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE session SET node = NULL, online_until = $1 WHERE node = $2";
    dialect::exec(tx, sql, vec![online_until.0.into(), node.into()]).await?;
    entity::Entity::delete_by_id(node).exec(tx).await?;
    Ok(())
}
