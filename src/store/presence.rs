//! Presence: the sessions that have joined a topic, are not hidden, and are online by the database's clock.
//!
//! Raw SQL: a list of five tables' columns that every instance reads for each of its active topics whenever presence changes.

use std::time::Duration;

use sea_orm::Value;
use uuid::Uuid;

use super::pool::Row;
use super::{Store, StoreError, TopicKey, dialect, users};
use crate::model::{Millis, Presence, SessionId};

/// The first sessions that are present on a topic, and their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    /// The presences ordered by session id, up to the limit of the query.
    pub list: Vec<Presence>,
    /// The number of all presences.
    pub count: usize,
    /// The time at which the first of them goes offline if nothing happens until then.
    pub next_expiry: Option<Millis>,
}

/// The sessions that are present on topic $1 at the time $2; a lease that ended after $3 still counts.
const PRESENT: &str = "FROM joined j JOIN session s ON s.id = j.session_id JOIN \"user\" u ON u.id = s.user_id \
                       LEFT JOIN instance i ON i.id = s.instance_id \
                       WHERE j.topic_id = $1 AND j.ended IS NULL AND NOT j.hidden AND s.ended_at IS NULL \
                       AND s.expires_at > $2 AND (s.online_until > $2 OR i.lease_until > $3)";

impl Store {
    /// Returns the first `limit` sessions that are present on a topic, and their number. `own` is this instance: the end of
    /// its streams is notified, so they have no expiry.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn present(
        &self,
        topic: TopicKey,
        limit: usize,
        grace: Duration,
        own: Uuid,
    ) -> Result<Present, StoreError> {
        let now = self.now();
        let rows = self.present_rows(topic, None, limit.saturating_add(1), grace, now).await?;
        let mut present = Present { count: rows.len(), ..Present::default() };
        for row in &rows {
            let expiry = expiry(row, grace, own)?;
            present.next_expiry = [present.next_expiry, Some(expiry)].into_iter().flatten().min();
        }
        if rows.len() > limit {
            present.count = self.count_present(topic, grace).await?;
            // Presences after the end of the list are read again after half a grace period.
            let again = now.plus(grace / 2);
            present.next_expiry = Some(present.next_expiry.map_or(again, |expiry| expiry.min(again)));
        }
        present.list = rows.iter().take(limit).map(presence).collect::<Result<_, _>>()?;
        Ok(present)
    }

    /// Returns the first `limit` presences ordered by session id, after the id `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn present_page(
        &self,
        topic: TopicKey,
        after: Option<Uuid>,
        limit: usize,
        grace: Duration,
    ) -> Result<Vec<Presence>, StoreError> {
        self.present_rows(topic, after, limit, grace, self.now()).await?.iter().map(presence).collect()
    }

    /// Returns the number of sessions that are present.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn count_present(&self, topic: TopicKey, grace: Duration) -> Result<usize, StoreError> {
        let now = self.now();
        let sql = format!("SELECT COUNT(*) AS present {PRESENT}");
        let values = vec![topic.into(), now.0.into(), now.minus(grace).0.into()];
        let count: i64 = match dialect::row(self.read(), sql, values).await? {
            Some(row) => dialect::get(&row, "present")?,
            None => 0,
        };
        usize::try_from(count).map_err(|_| StoreError::Corrupt("count"))
    }

    async fn present_rows(
        &self,
        topic: TopicKey,
        after: Option<Uuid>,
        limit: usize,
        grace: Duration,
        now: Millis,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let after = after.unwrap_or(Uuid::nil());
        let values: Vec<Value> =
            vec![topic.into(), now.0.into(), now.minus(grace).0.into(), after.into(), limit.into()];
        let sql = format!(
            "SELECT j.session_id, s.user_id, u.username, s.online_since, s.online_until, s.expires_at, s.instance_id, \
             i.lease_until {PRESENT} AND j.session_id > $4 ORDER BY j.session_id LIMIT $5"
        );
        dialect::rows(self.read(), sql, values).await
    }
}

fn presence(row: &Row) -> Result<Presence, StoreError> {
    let user = users::user(row)?;
    Ok(Presence {
        user_id: user.user_id,
        username: user.username,
        session_id: SessionId(dialect::get(row, "session_id")?),
        online_since: Millis(dialect::get(row, "online_since")?),
    })
}

/// Returns the time at which a present session goes offline if nothing happens until then. One that streams from this
/// instance stays online until it expires: the end of its stream will be notified.
fn expiry(row: &Row, grace: Duration, own: Uuid) -> Result<Millis, StoreError> {
    let expires_at = Millis(dialect::get(row, "expires_at")?);
    let online_until = Millis(dialect::get(row, "online_until")?);
    if dialect::get::<Option<Uuid>>(row, "instance_id")? == Some(own) {
        return Ok(expires_at);
    }
    let lease: Option<i64> = dialect::get(row, "lease_until")?;
    let by_lease = lease.map_or(online_until, |lease| Millis(lease).plus(grace).max(online_until));
    Ok(by_lease.min(expires_at))
}
