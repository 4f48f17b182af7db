//! Users.

use super::pool::{Connection, Row};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, User, UserId};

impl Store {
    /// A user, where they have been seen.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        find(self.read(), id).await
    }

    /// Changes how a user is called; answers whether there is one.
    pub async fn rename_user(&self, id: &UserId, username: &str) -> Result<bool, StoreError> {
        let values = vec![username.into(), id.as_str().into()];
        let sql = "UPDATE \"user\" SET username = $1 WHERE id = $2";
        self.change(move |tx| Box::pin(async move { Ok(dialect::exec(tx, sql, values).await? > 0) })).await
    }

    /// The topics on which a user can be seen: those that their living sessions have joined.
    pub async fn topics_of_user(&self, id: &UserId) -> Result<Vec<TopicKey>, StoreError> {
        let sql = "SELECT DISTINCT j.topic_id FROM joined j JOIN session s ON s.id = j.session_id \
                   WHERE s.user_id = $1 AND s.ended_at IS NULL AND j.ended IS NULL AND NOT j.hidden";
        let rows = dialect::rows(self.read(), sql, vec![id.as_str().into()]).await?;
        rows.iter().map(|row| dialect::get(row, "topic_id")).collect()
    }
}

/// A user, where they have been seen.
pub(super) async fn find(on: &impl Connection, id: &UserId) -> Result<Option<User>, StoreError> {
    let sql = "SELECT id AS user_id, username FROM \"user\" WHERE id = $1";
    dialect::row(on, sql, vec![id.as_str().into()]).await?.map(|row| user(&row)).transpose()
}

/// The user in the columns `user_id` and `username`.
pub(super) fn user(row: &Row) -> Result<User, StoreError> {
    let id: String = dialect::get(row, "user_id")?;
    let username: String = dialect::get(row, "username")?;
    let user_id = UserId::parse(&id).ok_or(StoreError::Corrupt("user id"))?;
    Ok(User { user_id, username: username.into() })
}

/// Makes a user unless they exist.
pub(super) async fn ensure(
    on: &impl Connection,
    id: &UserId,
    username: &str,
    device_hash: Option<&str>,
    now: Millis,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO \"user\" (id, username, device_hash, created_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT DO NOTHING";
    dialect::exec(on, sql, vec![id.as_str().into(), username.into(), device_hash.into(), now.0.into()]).await.map(drop)
}
