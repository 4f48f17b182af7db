//! Members: joining and leaving groups, roles, requests and bans. Each act is one transaction, with the entry that announces
//! it.

use parlour_entity::{group, group_member as entity, user};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde::Serialize;

use super::durability::Durability;
use super::groups::{GroupRow, delete, lock};
use super::leaves::{JoinEnd, LeaveReason, end_joins};
use super::messages::{Announcement, announce};
use super::pool::Transaction;
use super::{Store, StoreError, TopicKey, TopicRow, read_marks, standings, users};
use crate::model::group::{Act, Outcome, Refusal, Role, Situation, Standing, decide};
use crate::model::message::to_raw;
use crate::model::{Code, GroupId, Message, MessageId, Millis, Seq, SessionId, User, UserId};

/// A user with a standing in a group.
#[derive(Clone, Debug)]
pub(crate) struct MemberRow {
    /// The user.
    pub user: User,
    /// The standing.
    pub standing: Standing,
    /// The time at which the standing began; 0 for a stranger.
    pub since: Millis,
}

/// An act in a group.
#[derive(Clone, Debug)]
pub(crate) struct MemberAct {
    /// The group.
    pub group: GroupId,
    /// The act.
    pub act: Act,
    /// The user who acts.
    pub actor: UserId,
    /// The user whose standing the act changes; may be the actor.
    pub target: UserId,
}

/// The result of an act.
#[derive(Clone, Debug)]
pub(crate) struct MemberChanged {
    /// The key of the group's topic.
    pub topic: TopicKey,
    /// The target's standing after the act.
    pub target: MemberRow,
    /// The entry that announces the act; `None` if there is none.
    pub entry: Option<Message>,
    /// The sessions whose joins the act has ended.
    pub ended: Vec<SessionId>,
}

/// The reason why an act was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberRefused {
    /// There is no such group.
    NoGroup,
    /// There is no such user.
    NoUser,
    /// The rules forbid it.
    Rule(Refusal),
}

/// The content of the entry that announces an act.
#[derive(Serialize)]
struct Announced<'a> {
    user: &'a User,
    by: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

impl Store {
    /// Acts in a group. The rules decide under the lock of its topic.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn act_in_group(
        &self,
        act: MemberAct,
    ) -> Result<Result<MemberChanged, MemberRefused>, StoreError> {
        let now = self.now();
        let id = MessageId(self.clock().uuid());
        self.write(Durability::Full, move |tx| Box::pin(async move { act_in_group(tx, &act, id, now).await })).await
    }

    /// Returns the first `limit` users whose standing in a group is one of these, ordered by standing, the highest first,
    /// and by id, after the standing and id `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn members(
        &self,
        group: GroupId,
        (from, to): (Standing, Standing),
        after: Option<(i16, String)>,
        limit: usize,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let (standing, id) = after.unwrap_or((from.stored().unwrap_or_default(), String::new()));
        let place = Expr::tuple([entity::Column::Standing.into_expr(), entity::Column::UserId.into_expr()]);
        let found = entity::Entity::find()
            .find_both_related(user::Entity)
            .filter(entity::Column::GroupId.eq(group.0))
            .filter(entity::Column::Standing.lte(to.stored()))
            .filter(place.gt(Expr::tuple([Expr::value(standing), Expr::value(id)])))
            .order_by_asc(entity::Column::Standing)
            .order_by_asc(entity::Column::UserId)
            .limit(u64::try_from(limit).unwrap_or(u64::MAX))
            .all(self.read())
            .await?;
        let member = |(member, user): (entity::Model, user::Model)| {
            Ok(MemberRow {
                user: users::named(&user.id, user.username)?,
                standing: standings::read(Some(member.standing))?,
                since: Millis(member.since),
            })
        };
        found.into_iter().map(member).collect()
    }
}

async fn act_in_group(
    tx: &Transaction,
    act: &MemberAct,
    id: MessageId,
    now: Millis,
) -> Result<Result<MemberChanged, MemberRefused>, StoreError> {
    let Some((mut topic, group)) = lock(tx, act.group, &act.actor).await? else {
        return Ok(Err(MemberRefused::NoGroup));
    };
    let target = match find(tx, act.group, &act.target).await? {
        Some(target) => target,
        // A user who may act on nobody learns nothing about which users exist.
        None if decide(act.act, group.standing, Standing::Stranger, ROOMY) == Err(Refusal::Forbidden) => {
            return Ok(Err(MemberRefused::Rule(Refusal::Forbidden)));
        }
        None => return Ok(Err(MemberRefused::NoUser)),
    };
    let outcome = match decide(act.act, group.standing, target.standing, situation(tx, &group).await?) {
        Ok(outcome) => outcome,
        Err(refusal) => return Ok(Err(MemberRefused::Rule(refusal))),
    };
    let key = topic.key;
    let unchanged = MemberChanged { topic: key, target: target.clone(), entry: None, ended: Vec::new() };
    match outcome {
        Outcome::Stays => Ok(Ok(unchanged)),
        Outcome::Dissolves => {
            let ended = delete(tx, act.group, key, now).await?.ended;
            Ok(Ok(MemberChanged { target: MemberRow { standing: Standing::Stranger, ..target }, ended, ..unchanged }))
        }
        Outcome::Becomes(standing, code) => {
            let entry = match code {
                Some(code) => {
                    let announcement = announcement(tx, act, &target.user, id, code, standing).await?;
                    let entry = announce(tx, &mut topic, announcement, now).await?;
                    read_marks::follow(tx, &act.actor, key, entry.seq).await?;
                    Some(entry)
                }
                None => None,
            };
            let changed = move_to(tx, act, &group, &topic, &target, standing, now).await?;
            let target = MemberRow { user: target.user, standing, since: now };
            Ok(Ok(MemberChanged { target, entry, ended: changed, ..unchanged }))
        }
    }
}

/// A group that is never full, to find out whether a user may act at all.
const ROOMY: Situation = Situation { open: true, members: 0, max_members: u32::MAX, superadmins: u32::MAX };

/// Writes the new standing and what follows from it: the number of members, read marks, and the end of joins. Returns the
/// sessions whose joins have ended.
async fn move_to(
    tx: &Transaction,
    act: &MemberAct,
    group: &GroupRow,
    topic: &TopicRow,
    target: &MemberRow,
    standing: Standing,
    now: Millis,
) -> Result<Vec<SessionId>, StoreError> {
    standings::store(tx, act.group, &act.target, standing, now).await?;
    let members = match (target.standing.is_member(), standing.is_member()) {
        (false, true) => group.members.saturating_add(1),
        (true, false) => group.members.saturating_sub(1),
        _ => return Ok(Vec::new()),
    };
    group::Entity::update_many()
        .col_expr(group::Column::Members, Expr::value(i32::try_from(members).unwrap_or(i32::MAX)))
        .filter(group::Column::Id.eq(act.group.0))
        .exec(tx)
        .await?;
    if standing.is_member() {
        // Entries from before the user became a member are not unread to them; the entry that another user
        // has added them is.
        let news = i64::from(act.actor != act.target);
        read_marks::set_at_least(tx, &act.target, topic.key, Seq(topic.last_seq.0 - news)).await?;
        return Ok(Vec::new());
    }
    read_marks::forget(tx, &act.target, topic.key).await?;
    let reason = match act.act {
        Act::Ban => LeaveReason::Banned,
        Act::Kick => LeaveReason::Kicked,
        _ => LeaveReason::Left,
    };
    end_joins(tx, topic.key, Some(&act.target), JoinEnd { reason, last: Some(topic.last_seq) }).await
}

async fn announcement(
    tx: &Transaction,
    act: &MemberAct,
    user: &User,
    id: MessageId,
    code: Code,
    standing: Standing,
) -> Result<Announcement, StoreError> {
    let by = if act.actor == act.target {
        user.clone()
    } else {
        users::find(tx, &act.actor).await?.ok_or(StoreError::Corrupt("user"))?
    };
    let role = standing.role().filter(|_| matches!(code, Code::GROUP_PROMOTION | Code::GROUP_DEMOTION));
    let content = to_raw(&Announced { user, by: &by, role });
    Ok(Announcement { id, code, sender: user.clone(), content, target: None })
}

async fn situation(tx: &Transaction, group: &GroupRow) -> Result<Situation, StoreError> {
    let superadmins = entity::Entity::find()
        .filter(entity::Column::GroupId.eq(group.id.0))
        .filter(entity::Column::Standing.eq(Standing::Superadmin.stored()))
        .count(tx)
        .await?;
    Ok(Situation {
        open: group.open,
        members: group.members,
        max_members: group.max_members,
        superadmins: u32::try_from(superadmins).unwrap_or(u32::MAX),
    })
}

/// Reads a user with their standing in a group; `None` if there is no such user.
async fn find(tx: &Transaction, group: GroupId, id: &UserId) -> Result<Option<MemberRow>, StoreError> {
    let Some(user) = users::find(tx, id).await? else {
        return Ok(None);
    };
    let member = entity::Entity::find_by_id((group.0, id.as_str().into())).one(tx).await?;
    Ok(Some(MemberRow {
        user,
        standing: standings::read(member.as_ref().map(|member| member.standing))?,
        since: Millis(member.map_or(0, |member| member.since)),
    }))
}
