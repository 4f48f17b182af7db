//! Groups: creating, finding, changing and deleting them. A transaction that changes a group or its members locks the row
//! of its topic first: so the log lists the changes in their order, and no send is stored between a check and its change.

use parlour_entity::{group as entity, group_member, read_mark, topic};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoCondition as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, FromQueryResult, JoinType, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _, RelationTrait as _, Select, Set, Unchanged,
};
use uuid::Uuid;

use super::durability::Durability;
use super::leaves::{JoinEnd, LeaveReason, end_joins};
use super::pool::{Connection, Transaction};
use super::topics::{self, Lock};
use super::{Store, StoreError, TopicKey, TopicRow, dialect, standings};
use crate::model::group::{MAY_CHANGE, MAY_DELETE, Refusal, Standing};
use crate::model::text::{lower_case, prefix_end};
use crate::model::{GroupId, Millis, SessionId, TopicId, UserId};

/// A group as one user sees it.
#[derive(Clone, Debug)]
pub(crate) struct GroupRow {
    /// The id.
    pub id: GroupId,
    /// The name.
    pub name: String,
    /// The description.
    pub description: String,
    /// True if anyone may join without being accepted.
    pub open: bool,
    /// The largest number of members.
    pub max_members: u32,
    /// The number of members.
    pub members: u32,
    /// The time of creation.
    pub created_at: Millis,
    /// The standing of the user who sees it.
    pub standing: Standing,
}

/// The properties of a group to be created.
#[derive(Clone, Debug)]
pub(crate) struct NewGroup {
    /// The name, 1 to 100 characters.
    pub name: String,
    /// The description, at most 500 characters.
    pub description: String,
    /// True if anyone may join without being accepted.
    pub open: bool,
    /// The largest number of members, 1 to 10,000.
    pub max_members: u32,
}

/// Changes of a group; `None` leaves a property as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// True if anyone may join from now on.
    pub open: Option<bool>,
    /// The largest number of members from now on; present members stay.
    pub max_members: Option<u32>,
}

/// A group that has been deleted.
#[derive(Clone, Debug)]
pub(crate) struct GroupDeleted {
    /// The key of the group's topic.
    pub topic: TopicKey,
    /// The sessions that had joined the topic.
    pub ended: Vec<SessionId>,
}

/// The name and id after which a listing by name continues.
pub(crate) type GroupCursor = (String, GroupId);

impl Store {
    /// Creates a group with its topic; `creator` is its superadmin.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn create_group(&self, new: NewGroup, creator: UserId) -> Result<GroupRow, StoreError> {
        let id = GroupId(self.clock().uuid());
        let now = self.now();
        self.write(Durability::Full, move |tx| Box::pin(async move { create(tx, id, new, &creator, now).await })).await
    }

    /// Reads a group as `user` sees it.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn group(&self, id: GroupId, user: &UserId) -> Result<Option<GroupRow>, StoreError> {
        find(self.read(), id, user).await
    }

    /// Returns the first `limit` groups whose name in lower case begins with `prefix`, ordered by that name and the id.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn groups(
        &self,
        user: &UserId,
        prefix: &str,
        after: Option<GroupCursor>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let mut groups = seen_by(user).filter(entity::Column::SearchName.gte(prefix));
        if let Some(end) = prefix_end(prefix) {
            groups = groups.filter(entity::Column::SearchName.lt(end));
        }
        if let Some((name, id)) = after {
            let place = Expr::tuple([entity::Column::SearchName.into_expr(), entity::Column::Id.into_expr()]);
            groups = groups.filter(place.gt(Expr::tuple([Expr::value(name), Expr::value(id.0)])));
        }
        let groups = groups
            .order_by_asc(entity::Column::SearchName)
            .order_by_asc(entity::Column::Id)
            .limit(u64::try_from(limit).unwrap_or(u64::MAX));
        let found = groups.into_model::<SeenGroup>().all(self.read()).await?;
        found.into_iter().map(GroupRow::try_from).collect()
    }

    /// Returns the first `limit` groups in which a user has one of these standings, ordered by id, after the id `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn groups_of(
        &self,
        user: &UserId,
        (from, to): (Standing, Standing),
        after: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let found = group_member::Entity::find()
            .find_both_related(entity::Entity)
            .filter(group_member::Column::UserId.eq(user.as_str()))
            .filter(group_member::Column::Standing.gte(from.stored()))
            .filter(group_member::Column::Standing.lte(to.stored()))
            .filter(group_member::Column::GroupId.gt(after.map_or(Uuid::nil(), |id| id.0)))
            .order_by_asc(group_member::Column::GroupId)
            .limit(u64::try_from(limit).unwrap_or(u64::MAX))
            .all(self.read())
            .await?;
        let seen = |(member, group): (group_member::Model, entity::Model)| {
            GroupRow::try_from(SeenGroup { group, standing: Some(member.standing) })
        };
        found.into_iter().map(seen).collect()
    }

    /// Returns the names of these groups.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn group_names(&self, ids: &[GroupId]) -> Result<Vec<(GroupId, String)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<(Uuid, String)> = entity::Entity::find()
            .select_only()
            .columns([entity::Column::Id, entity::Column::Name])
            .filter(entity::Column::Id.is_in(dialect::filled(ids.iter().map(|id| id.0))))
            .into_tuple()
            .all(self.read())
            .await?;
        Ok(found.into_iter().map(|(id, name)| (GroupId(id), name)).collect())
    }

    /// Changes a group, if `user` may; `None` if there is no such group.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn change_group(
        &self,
        id: GroupId,
        user: UserId,
        patch: GroupPatch,
    ) -> Result<Option<Result<GroupRow, Refusal>>, StoreError> {
        self.write(Durability::Full, move |tx| Box::pin(async move { change(tx, id, &user, patch).await })).await
    }

    /// Deletes a group with its topic, if `user` may; `None` if there is no such group. The topic's messages are deleted
    /// soon after.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn delete_group(
        &self,
        id: GroupId,
        user: UserId,
    ) -> Result<Option<Result<GroupDeleted, Refusal>>, StoreError> {
        let now = self.now();
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                let Some((topic, group)) = lock(tx, id, &user).await? else {
                    return Ok(None);
                };
                if group.standing > MAY_DELETE {
                    return Ok(Some(Err(Refusal::Forbidden)));
                }
                Ok(Some(Ok(delete(tx, id, topic.key, now).await?)))
            })
        })
        .await
    }
}

async fn create(
    tx: &Transaction,
    id: GroupId,
    new: NewGroup,
    creator: &UserId,
    now: Millis,
) -> Result<GroupRow, StoreError> {
    let topic = TopicId::group(id);
    topics::ensure(tx, &topic, now).await?;
    // In the inbox the group is listed by the time of its creation until somebody sends something.
    topic::Entity::update_many()
        .col_expr(topic::Column::LastAt, Expr::value(now.0))
        .filter(topic::Column::Name.eq(topic.as_str()))
        .exec(tx)
        .await?;
    let topic = topics::find(tx, &topic, Lock::None).await?.ok_or(StoreError::Corrupt("topic"))?;
    let group = entity::ActiveModel {
        id: Set(id.0),
        topic_id: Set(topic.key),
        search_name: Set(lower_case(&new.name)),
        name: Set(new.name),
        description: Set(new.description),
        open: Set(new.open),
        max_members: Set(i32::try_from(new.max_members).unwrap_or(i32::MAX)),
        members: Set(1),
        created_at: Set(now.0),
    };
    entity::Entity::insert(group).exec_without_returning(tx).await?;
    standings::store(tx, id, creator, Standing::Superadmin, now).await?;
    find(tx, id, creator).await?.ok_or(StoreError::Corrupt("group"))
}

async fn change(
    tx: &Transaction,
    id: GroupId,
    user: &UserId,
    patch: GroupPatch,
) -> Result<Option<Result<GroupRow, Refusal>>, StoreError> {
    let Some((_, group)) = lock(tx, id, user).await? else {
        return Ok(None);
    };
    if group.standing > MAY_CHANGE {
        return Ok(Some(Err(Refusal::Forbidden)));
    }
    let name = patch.name.unwrap_or(group.name);
    let max_members = patch.max_members.unwrap_or(group.max_members);
    let changed = entity::ActiveModel {
        id: Unchanged(id.0),
        search_name: Set(lower_case(&name)),
        name: Set(name),
        description: Set(patch.description.unwrap_or(group.description)),
        open: Set(patch.open.unwrap_or(group.open)),
        max_members: Set(i32::try_from(max_members).unwrap_or(i32::MAX)),
        ..Default::default()
    };
    let standing = group.standing.stored();
    let group = changed.update(tx).await?;
    GroupRow::try_from(SeenGroup { group, standing }).map(|group| Some(Ok(group)))
}

/// Deletes a group whose topic is locked. The topic's row stays until every session that had joined it has received the
/// end.
pub(super) async fn delete(
    tx: &Transaction,
    id: GroupId,
    topic: TopicKey,
    now: Millis,
) -> Result<GroupDeleted, StoreError> {
    let ended = end_joins(tx, topic, None, JoinEnd { reason: LeaveReason::GroupDeleted, last: None }).await?;
    let members = group_member::Entity::find()
        .select_only()
        .column(group_member::Column::UserId)
        .filter(group_member::Column::GroupId.eq(id.0))
        .into_query();
    read_mark::Entity::delete_many()
        .filter(read_mark::Column::TopicId.eq(topic))
        .filter(read_mark::Column::UserId.in_subquery(members))
        .exec(tx)
        .await?;
    group_member::Entity::delete_many().filter(group_member::Column::GroupId.eq(id.0)).exec(tx).await?;
    entity::Entity::delete_by_id(id.0).exec(tx).await?;
    topic::Entity::update_many()
        .col_expr(topic::Column::DeletedAt, Expr::value(now.0))
        .filter(topic::Column::Id.eq(topic))
        .exec(tx)
        .await?;
    Ok(GroupDeleted { topic, ended })
}

/// Locks a group by its topic, and reads it afterwards; `None` if there is no such group.
pub(super) async fn lock(
    tx: &Transaction,
    id: GroupId,
    user: &UserId,
) -> Result<Option<(TopicRow, GroupRow)>, StoreError> {
    let Some(topic) = topics::find(tx, &TopicId::group(id), Lock::Exclusive).await? else {
        return Ok(None);
    };
    Ok(find(tx, id, user).await?.map(|group| (topic, group)))
}

async fn find(on: &impl Connection, id: GroupId, user: &UserId) -> Result<Option<GroupRow>, StoreError> {
    let group = seen_by(user).filter(entity::Column::Id.eq(id.0)).into_model::<SeenGroup>();
    group.one(on).await?.map(GroupRow::try_from).transpose()
}

/// A group and a user's standing in it, null for strangers.
#[derive(FromQueryResult)]
struct SeenGroup {
    #[sea_orm(nested)]
    group: entity::Model,
    standing: Option<i16>,
}

/// Selects groups with the standing of `user`, as [`SeenGroup`].
fn seen_by(user: &UserId) -> Select<entity::Entity> {
    let user = user.as_str().to_owned();
    let own = entity::Relation::Members.def().on_condition(move |_, members| {
        Expr::col((members, group_member::Column::UserId)).eq(user.as_str()).into_condition()
    });
    entity::Entity::find().join(JoinType::LeftJoin, own).column(group_member::Column::Standing)
}

impl TryFrom<SeenGroup> for GroupRow {
    type Error = StoreError;

    fn try_from(SeenGroup { group, standing }: SeenGroup) -> Result<Self, StoreError> {
        let count = |count: i32| u32::try_from(count).map_err(|_| StoreError::Corrupt("group"));
        Ok(Self {
            id: GroupId(group.id),
            max_members: count(group.max_members)?,
            members: count(group.members)?,
            name: group.name,
            description: group.description,
            open: group.open,
            created_at: Millis(group.created_at),
            standing: standings::read(standing)?,
        })
    }
}
