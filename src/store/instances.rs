//! Leases: one row per instance shows until when it is alive, and with it all sessions whose streams it holds.

use std::time::{Duration, Instant};

use parlour_entity::{instance as entity, session};
use sea_orm::sea_query::{Expr, LockType, OnConflict};
use sea_orm::{
    ColumnTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use uuid::Uuid;

use super::durability::Durability;
use super::pool::{Connection as _, Transaction};
use super::{Store, StoreError, dialect};
use crate::model::Millis;

/// Sessions of an expired instance that one transaction marks as offline at most.
const EXPIRE_BATCH: u64 = 512;

/// The number of first measurements of the database's clock, as the quickest is the most exact.
const FIRST_MEASUREMENTS: usize = 3;

impl Store {
    /// Extends this instance's lease to `lease` from now, and measures the database's clock. Returns the end of the lease.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn renew_lease(&self, instance: Uuid, lease: Duration) -> Result<Millis, StoreError> {
        self.measure_clock().await?;
        let until = self.now().plus(lease);
        let row = entity::ActiveModel { id: Set(instance), lease_until: Set(until.0) };
        let mut extend = OnConflict::column(entity::Column::Id);
        extend.update_column(entity::Column::LeaseUntil);
        let renewed = entity::Entity::insert(row).on_conflict(extend);
        if !self.is_shared() {
            self.write(Durability::Full, move |tx| {
                Box::pin(async move { Ok(renewed.exec_without_returning(tx).await?) })
            })
            .await?;
        } else {
            renewed.exec_without_returning(&self.inner.pools.lease).await?;
        }
        Ok(until)
    }

    /// Measures the difference between the database's clock and this machine's.
    async fn measure_clock(&self) -> Result<(), StoreError> {
        let lease = &self.inner.pools.lease;
        if lease.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let measurements = if self.inner.clock_offset.is_known() { 1 } else { FIRST_MEASUREMENTS };
        for _ in 0..measurements {
            let before = self.clock().now();
            let asked = Instant::now();
            // Raw: it reads no table.
            let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
            let Some(row) = dialect::row(lease, sql, vec![]).await? else { continue };
            let there: i64 = dialect::get(&row, "now")?;
            let here = i64::midpoint(before.0, self.clock().now().0);
            self.inner.clock_offset.record(there.saturating_sub(here), asked.elapsed(), asked);
        }
        Ok(())
    }

    /// Ends this instance's lease: its streams that were not closed one by one count as closed now.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn release_lease(&self, instance: Uuid, grace: Duration) -> Result<(), StoreError> {
        self.take_offline(instance, self.now().plus(grace), Millis(i64::MAX)).await
    }

    /// Deletes other instances whose lease expired longer than `grace` ago. Their sessions are offline already, by the
    /// clock.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn expire_instances(&self, own: Uuid, grace: Duration) -> Result<(), StoreError> {
        let expired_before = self.now().minus(grace);
        let expired = entity::Entity::find()
            .filter(entity::Column::LeaseUntil.lt(expired_before.0))
            .filter(entity::Column::Id.ne(own))
            .all(self.read())
            .await?;
        for instance in expired {
            let online_until = Millis(instance.lease_until).plus(grace);
            self.take_offline(instance.id, online_until, expired_before).await?;
        }
        Ok(())
    }

    /// Marks the sessions of an instance whose lease ended before `expired_before` as offline, in batches, and deletes the
    /// instance.
    async fn take_offline(
        &self,
        instance: Uuid,
        online_until: Millis,
        expired_before: Millis,
    ) -> Result<(), StoreError> {
        while self
            .write(Durability::Full, move |tx| Box::pin(take_offline(tx, instance, online_until, expired_before)))
            .await?
        {}
        Ok(())
    }
}

/// Does one batch; returns true if there may be more.
async fn take_offline(
    tx: &Transaction,
    instance: Uuid,
    online_until: Millis,
    expired_before: Millis,
) -> Result<bool, StoreError> {
    // Locked, so that an instance that wakes up renews its lease before this batch or after it. Its streams are its own
    // from then on.
    let expired = entity::Entity::find_by_id(instance)
        .filter(entity::Column::LeaseUntil.lt(expired_before.0))
        .lock(LockType::Update);
    if expired.one(tx).await?.is_none() {
        return Ok(false);
    }
    // In the order in which every transaction locks sessions.
    let sessions: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::InstanceId.eq(instance))
        .order_by_asc(session::Column::Id)
        .limit(EXPIRE_BATCH)
        .lock(LockType::Update)
        .into_tuple()
        .all(tx)
        .await?;
    if sessions.is_empty() {
        entity::Entity::delete_by_id(instance).exec(tx).await?;
        return Ok(false);
    }
    session::Entity::update_many()
        .col_expr(session::Column::InstanceId, Expr::value(Option::<Uuid>::None))
        .col_expr(session::Column::OnlineUntil, Expr::value(online_until.0))
        .filter(session::Column::Id.is_in(dialect::filled(sessions)))
        .exec(tx)
        .await?;
    Ok(true)
}
