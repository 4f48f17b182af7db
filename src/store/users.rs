//! Users: reading, creating and renaming them.

use parlour_entity::{joined, session, user as entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Set};

use super::durability::Durability;
use super::pool::{Connection, Row};
use super::{Store, StoreError, TopicKey, dialect};
use crate::model::{Millis, User, UserId};

impl Store {
    /// Reads a user; `None` where no user has this id.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        find(self.read(), id).await
    }

    /// Changes a user's name. Returns false where no user has this id.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn rename_user(&self, id: &UserId, username: &str) -> Result<bool, StoreError> {
        let renamed = entity::Entity::update_many()
            .col_expr(entity::Column::Username, Expr::value(username))
            .filter(entity::Column::Id.eq(id.as_str()));
        self.write(Durability::Full, move |tx| Box::pin(async move { Ok(renamed.exec(tx).await?.rows_affected > 0) }))
            .await
    }

    /// Returns the topics on which a user can be present: those that their sessions have joined and not hidden.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn topics_of_user(&self, id: &UserId) -> Result<Vec<TopicKey>, StoreError> {
        let topics = joined::Entity::find()
            .select_only()
            .column(joined::Column::TopicId)
            .distinct()
            .inner_join(session::Entity)
            .filter(session::Column::UserId.eq(id.as_str()))
            .filter(session::Column::EndedAt.is_null())
            .filter(joined::Column::Ended.is_null())
            .filter(joined::Column::Hidden.eq(false));
        Ok(topics.into_tuple().all(self.read()).await?)
    }
}

/// Reads a user; `None` where no user has this id.
pub(super) async fn find(on: &impl Connection, id: &UserId) -> Result<Option<User>, StoreError> {
    let found = entity::Entity::find_by_id(id.as_str()).one(on).await?;
    found.map(|row| named(&row.id, row.username)).transpose()
}

/// Reads the built-in account with this device hash.
pub(super) async fn find_by_device(on: &impl Connection, hash: &str) -> Result<Option<User>, StoreError> {
    let found = entity::Entity::find().filter(entity::Column::DeviceHash.eq(hash)).one(on).await?;
    found.map(|row| named(&row.id, row.username)).transpose()
}

/// The user in the columns `user_id` and `username` of a raw statement.
pub(super) fn user(row: &Row) -> Result<User, StoreError> {
    named(&dialect::get::<String>(row, "user_id")?, dialect::get(row, "username")?)
}

/// The user with an id and a name from the database.
pub(super) fn named(id: &str, username: String) -> Result<User, StoreError> {
    let user_id = UserId::parse(id).ok_or(StoreError::Corrupt("user id"))?;
    Ok(User { user_id, username: username.into() })
}

/// Creates a user unless there is one with this id or device hash.
pub(super) async fn ensure(
    on: &impl Connection,
    id: &UserId,
    username: &str,
    device_hash: Option<&str>,
    now: Millis,
) -> Result<(), StoreError> {
    let new = entity::ActiveModel {
        id: Set(id.as_str().to_owned()),
        username: Set(username.to_owned()),
        device_hash: Set(device_hash.map(str::to_owned)),
        created_at: Set(now.0),
    };
    let insert = entity::Entity::insert(new).on_conflict(OnConflict::new().do_nothing().to_owned());
    insert.exec_without_returning(on).await?;
    Ok(())
}
