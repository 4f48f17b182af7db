//! Standings: what each user is to a group. `members` changes them by the rules, this reads and writes their rows.

use parlour_entity::group_member as entity;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, Set};

use super::pool::{Connection, Transaction};
use super::{Store, StoreError};
use crate::model::group::Standing;
use crate::model::{GroupId, Millis, UserId};

impl Store {
    /// Returns a user's standing in a group; a stranger's if there is no such group.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn standing(&self, group: GroupId, user: &UserId) -> Result<Standing, StoreError> {
        find(self.read(), group, user).await
    }
}

/// Returns a user's standing in a group; a stranger's if there is no such group.
pub(super) async fn find(on: &impl Connection, group: GroupId, user: &UserId) -> Result<Standing, StoreError> {
    let found = entity::Entity::find_by_id((group.0, user.as_str().into())).one(on).await?;
    read(found.map(|row| row.standing))
}

/// Writes a user's standing in a group. Strangers have no row.
pub(super) async fn store(
    tx: &Transaction,
    group: GroupId,
    user: &UserId,
    standing: Standing,
    now: Millis,
) -> Result<(), StoreError> {
    let Some(stored) = standing.stored() else {
        entity::Entity::delete_by_id((group.0, user.as_str().into())).exec(tx).await?;
        return Ok(());
    };
    let row = entity::ActiveModel {
        group_id: Set(group.0),
        user_id: Set(user.as_str().to_owned()),
        standing: Set(stored),
        since: Set(now.0),
    };
    let mut replace = OnConflict::columns([entity::Column::GroupId, entity::Column::UserId]);
    replace.update_columns([entity::Column::Standing, entity::Column::Since]);
    entity::Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(())
}

/// The standing in a column that is null for strangers.
pub(super) fn read(stored: Option<i16>) -> Result<Standing, StoreError> {
    stored.map_or(Some(Standing::Stranger), Standing::read).ok_or(StoreError::Corrupt("standing"))
}
