//! Groups: making, finding, changing and deleting them. Whoever changes one, or its members, locks the row of its topic
//! first: so the log tells of changes in their order, and no send falls in between.

mod members;

use sea_orm::Value;

pub(super) use members::standing_of;
pub use members::{MemberAct, MemberChanged, MemberRefused, MemberRow};

use super::joins::end_joins;
use super::pool::{Connection, Row, Transaction};
use super::{JoinEnd, LeaveReason, Store, StoreError, TopicKey, TopicRow, dialect, topics};
use crate::model::group::{MAY_CHANGE, MAY_DELETE, Refusal, Standing};
use crate::model::text::{lower_case, prefix_end};
use crate::model::{GroupId, Millis, SessionId, TopicId, UserId};

/// A group as somebody sees it.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Which.
    pub id: GroupId,
    /// How it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Whether anyone may join.
    pub open: bool,
    /// How many members it takes.
    pub max_members: u32,
    /// How many it has.
    pub members: u32,
    /// When it was made.
    pub created_at: Millis,
    /// What the one who looks is to it.
    pub standing: Standing,
}

/// What a group is made with.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// 1 to 100 characters.
    pub name: String,
    /// At most 500 characters.
    pub description: String,
    /// Whether anyone may join.
    pub open: bool,
    /// 1 to 10,000.
    pub max_members: u32,
}

/// What is to be changed of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// Whether anyone may join from now on.
    pub open: Option<bool>,
    /// How many members it takes from now on; those who are in stay in.
    pub max_members: Option<u32>,
}

/// A group that has been deleted: its topic, and the sessions whose joins have ended by that.
#[derive(Clone, Debug)]
pub struct GroupDeleted {
    /// Its topic.
    pub topic: TopicKey,
    /// Who had joined it.
    pub ended: Vec<SessionId>,
}

/// Where a listing by name goes on: behind this name and id.
pub type GroupPlace = (String, GroupId);

const COLUMNS: &str = "g.id, g.name, g.search_name, g.description, g.open, g.max_members, g.members, g.created_at";

impl Store {
    /// Makes a group with its topic; `creator` is its superadmin.
    pub async fn create_group(&self, new: NewGroup, creator: UserId) -> Result<GroupRow, StoreError> {
        let (id, now) = (GroupId(self.clock().uuid()), self.now());
        self.change(move |tx| Box::pin(async move { create(tx, id, new, &creator, now).await })).await
    }

    /// A group, as `user` sees it.
    pub async fn group(&self, id: GroupId, user: &UserId) -> Result<Option<GroupRow>, StoreError> {
        find(self.read(), id, user).await
    }

    /// Groups whose name begins so, in lower case, in the order of their names.
    pub async fn groups(
        &self,
        user: &UserId,
        prefix: &str,
        after: Option<GroupPlace>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let mut values: Vec<Value> = vec![user.as_str().into(), prefix.into()];
        let mut sql = select("g.search_name >= $2");
        if let Some(bound) = prefix_end(prefix) {
            values.push(bound.into());
            sql.push_str(" AND g.search_name < $3");
        }
        if let Some((name, id)) = after {
            let n = values.len();
            values.extend([Value::from(name), id.0.into()]);
            sql.push_str(&format!(" AND (g.search_name, g.id) > (${}, ${})", n + 1, n + 2));
        }
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        sql.push_str(&format!(" ORDER BY g.search_name, g.id LIMIT ${}", values.len()));
        dialect::rows(self.read(), sql, values).await?.iter().map(group).collect()
    }

    /// The groups in which a user has one of these standings, in the order of ids, beyond `after`.
    pub async fn groups_of(
        &self,
        user: &UserId,
        standings: (Standing, Standing),
        after: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, m.standing FROM group_member m JOIN \"group\" g ON g.id = m.group_id \
             WHERE m.user_id = $1 AND m.standing >= $2 AND m.standing <= $3 AND m.group_id > $4 \
             ORDER BY m.group_id LIMIT $5"
        );
        let after = after.map_or(uuid::Uuid::nil(), |id| id.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (from, to) = (standings.0.stored(), standings.1.stored());
        let values = vec![user.as_str().into(), from.into(), to.into(), after.into(), limit.into()];
        dialect::rows(self.read(), sql, values).await?.iter().map(group).collect()
    }

    /// How these groups are called.
    pub async fn group_names(&self, ids: &[GroupId]) -> Result<Vec<(GroupId, String)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT id, name FROM \"group\" WHERE id IN ({})", dialect::places(1, ids.len()));
        let rows = dialect::rows(self.read(), sql, ids.iter().map(|id| id.0.into()).collect()).await?;
        rows.iter().map(|row| Ok((GroupId(dialect::get(row, "id")?), dialect::get(row, "name")?))).collect()
    }

    /// Changes a group, where `user` may.
    pub async fn change_group(
        &self,
        id: GroupId,
        user: UserId,
        patch: GroupPatch,
    ) -> Result<Option<Result<GroupRow, Refusal>>, StoreError> {
        self.change(move |tx| Box::pin(async move { change(tx, id, &user, patch).await })).await
    }

    /// Deletes a group with its topic, where `user` may. What was said there goes soon after.
    pub async fn delete_group(
        &self,
        id: GroupId,
        user: UserId,
    ) -> Result<Option<Result<GroupDeleted, Refusal>>, StoreError> {
        let now = self.now();
        self.change(move |tx| {
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
    // In the inbox it stands where it was made, until somebody says something.
    let sql = "UPDATE topic SET last_at = $1 WHERE name = $2";
    dialect::exec(tx, sql, vec![now.0.into(), topic.as_str().into()]).await?;
    let key = topics::find(tx, &topic, "").await?.ok_or(StoreError::Corrupt("topic"))?.key;
    let sql = "INSERT INTO \"group\" (id, topic_id, name, search_name, description, open, max_members, members, \
               created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)";
    let values = vec![
        id.0.into(),
        key.into(),
        new.name.as_str().into(),
        lower_case(&new.name).into(),
        new.description.into(),
        new.open.into(),
        i32::try_from(new.max_members).unwrap_or(i32::MAX).into(),
        now.0.into(),
    ];
    dialect::exec(tx, sql, values).await?;
    members::store(tx, id, creator, Standing::Superadmin, now).await?;
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
    let sql = "UPDATE \"group\" SET name = $1, search_name = $2, description = $3, open = $4, max_members = $5 \
               WHERE id = $6";
    let values = vec![
        name.as_str().into(),
        lower_case(&name).into(),
        patch.description.unwrap_or(group.description).into(),
        patch.open.unwrap_or(group.open).into(),
        i32::try_from(max_members).unwrap_or(i32::MAX).into(),
        id.0.into(),
    ];
    dialect::exec(tx, sql, values).await?;
    Ok(find(tx, id, user).await?.map(Ok))
}

/// Deletes a group whose topic is locked. The topic's row stays until everybody has heard of it.
async fn delete(tx: &Transaction, id: GroupId, topic: TopicKey, now: Millis) -> Result<GroupDeleted, StoreError> {
    let ended = end_joins(tx, topic, None, JoinEnd { reason: LeaveReason::GroupDeleted, last: None }).await?;
    let marks = "DELETE FROM read_mark WHERE topic_id = $1 AND user_id IN \
                 (SELECT user_id FROM group_member WHERE group_id = $2)";
    dialect::exec(tx, marks, vec![topic.into(), id.0.into()]).await?;
    dialect::exec(tx, "DELETE FROM group_member WHERE group_id = $1", vec![id.0.into()]).await?;
    dialect::exec(tx, "DELETE FROM \"group\" WHERE id = $1", vec![id.0.into()]).await?;
    dialect::exec(tx, "UPDATE topic SET deleted_at = $1 WHERE id = $2", vec![now.0.into(), topic.into()]).await?;
    Ok(GroupDeleted { topic, ended })
}

/// Locks a group by its topic, and reads it afterwards; `None` where there is none.
async fn lock(tx: &Transaction, id: GroupId, user: &UserId) -> Result<Option<(TopicRow, GroupRow)>, StoreError> {
    let Some(topic) = topics::find(tx, &TopicId::group(id), dialect::for_update(tx)).await? else {
        return Ok(None);
    };
    Ok(find(tx, id, user).await?.map(|group| (topic, group)))
}

async fn find(on: &impl Connection, id: GroupId, user: &UserId) -> Result<Option<GroupRow>, StoreError> {
    let row = dialect::row(on, select("g.id = $2"), vec![user.as_str().into(), id.0.into()]).await?;
    row.map(|row| group(&row)).transpose()
}

/// Groups as the user $1 sees them.
fn select(which: &str) -> String {
    format!(
        "SELECT {COLUMNS}, m.standing FROM \"group\" g \
         LEFT JOIN group_member m ON m.group_id = g.id AND m.user_id = $1 WHERE {which}"
    )
}

fn group(row: &Row) -> Result<GroupRow, StoreError> {
    let count = |column| -> Result<u32, StoreError> {
        u32::try_from(dialect::get::<i32>(row, column)?).map_err(|_| StoreError::Corrupt("group"))
    };
    Ok(GroupRow {
        id: GroupId(dialect::get(row, "id")?),
        name: dialect::get(row, "name")?,
        description: dialect::get(row, "description")?,
        open: dialect::get(row, "open")?,
        max_members: count("max_members")?,
        members: count("members")?,
        created_at: Millis(dialect::get(row, "created_at")?),
        standing: members::standing(dialect::get(row, "standing")?)?,
    })
}
