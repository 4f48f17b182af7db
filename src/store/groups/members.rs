//! Who belongs to a group, asks to, or may not: each act is one transaction with the entry that tells of it.

use sea_orm::Value;
use serde::Serialize;

use super::{GroupRow, delete, lock};
use crate::model::group::{Act, Outcome, Refusal, Role, Situation, Standing, decide};
use crate::model::message::to_raw;
use crate::model::{Code, GroupId, Message, MessageId, Millis, Seq, SessionId, User, UserId};
use crate::store::joins::end_joins;
use crate::store::messages::{Announcement, announce};
use crate::store::pool::{Connection, Row, Transaction};
use crate::store::{JoinEnd, LeaveReason, Store, StoreError, TopicKey, TopicRow, dialect, read_marks, users};

/// Somebody who is something to a group.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Who.
    pub user: User,
    /// What.
    pub standing: Standing,
    /// Since when.
    pub since: Millis,
}

/// An act in a group.
#[derive(Clone, Debug)]
pub struct MemberAct {
    /// Where.
    pub group: GroupId,
    /// What.
    pub act: Act,
    /// Who does it.
    pub actor: UserId,
    /// To whom; the actor themselves, for what one does to oneself.
    pub target: UserId,
}

/// What an act has come to.
#[derive(Clone, Debug)]
pub struct MemberChanged {
    /// The group's topic.
    pub topic: TopicKey,
    /// What the target is to the group now.
    pub target: MemberRow,
    /// The entry that tells of it.
    pub entry: Option<Message>,
    /// The sessions whose joins have ended by it.
    pub ended: Vec<SessionId>,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRefused {
    /// There is no such group.
    NoGroup,
    /// There is no such user.
    NoUser,
    /// The rules say no.
    Rule(Refusal),
}

/// What the entry of a change says.
#[derive(Serialize)]
struct Announced<'a> {
    user: &'a User,
    by: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

impl Store {
    /// Acts in a group. The rules are asked under the lock of its topic.
    pub async fn act_in_group(&self, act: MemberAct) -> Result<Result<MemberChanged, MemberRefused>, StoreError> {
        let (now, id) = (self.now(), MessageId(self.clock().uuid()));
        self.change(move |tx| Box::pin(async move { act_in_group(tx, &act, id, now).await })).await
    }

    /// Those whose standing in a group is one of these, the highest first, beyond `after`.
    pub async fn members(
        &self,
        group: GroupId,
        (from, to): (Standing, Standing),
        after: Option<(i16, String)>,
        limit: usize,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let sql = "SELECT m.user_id, u.username, m.standing, m.since FROM group_member m \
                   JOIN \"user\" u ON u.id = m.user_id \
                   WHERE m.group_id = $1 AND m.standing <= $2 AND (m.standing, m.user_id) > ($3, $4) \
                   ORDER BY m.standing, m.user_id LIMIT $5";
        let (standing, user) = after.unwrap_or((from.stored().unwrap_or_default(), String::new()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![group.0.into(), to.stored().into(), standing.into(), user.into(), limit.into()];
        dialect::rows(self.read(), sql, values).await?.iter().map(member).collect()
    }

    /// What a user is to a group; a stranger, where there is no such group.
    pub async fn standing(&self, group: GroupId, user: &UserId) -> Result<Standing, StoreError> {
        standing_of(self.read(), group, user).await
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
        // Who may act on nobody learns nothing of who exists.
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

/// A group in which there is place for everybody, to ask whether somebody may act at all.
const ROOMY: Situation = Situation { open: true, members: 0, max_members: u32::MAX, superadmins: u32::MAX };

/// Writes the new standing down, and what follows from it: the count of members, and the end of joins.
async fn move_to(
    tx: &Transaction,
    act: &MemberAct,
    group: &GroupRow,
    topic: &TopicRow,
    target: &MemberRow,
    standing: Standing,
    now: Millis,
) -> Result<Vec<SessionId>, StoreError> {
    store(tx, act.group, &act.target, standing, now).await?;
    let members = match (target.standing.is_member(), standing.is_member()) {
        (false, true) => group.members.saturating_add(1),
        (true, false) => group.members.saturating_sub(1),
        _ => return Ok(Vec::new()),
    };
    let sql = "UPDATE \"group\" SET members = $1 WHERE id = $2";
    let count = i32::try_from(members).unwrap_or(i32::MAX);
    dialect::exec(tx, sql, vec![count.into(), act.group.0.into()]).await?;
    if standing.is_member() {
        // What was said before they came is no news to them; that somebody has added them is.
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
    let sql = "SELECT COUNT(*) AS superadmins FROM group_member WHERE group_id = $1 AND standing = $2";
    let row = dialect::row(tx, sql, vec![group.id.0.into(), Standing::Superadmin.stored().into()]).await?;
    let superadmins: i64 = row.map_or(Ok(0), |row| dialect::get(&row, "superadmins"))?;
    Ok(Situation {
        open: group.open,
        members: group.members,
        max_members: group.max_members,
        superadmins: u32::try_from(superadmins).unwrap_or(u32::MAX),
    })
}

/// A known user, and what they are to a group.
async fn find(on: &impl Connection, group: GroupId, user: &UserId) -> Result<Option<MemberRow>, StoreError> {
    let sql = "SELECT u.id AS user_id, u.username, m.standing, COALESCE(m.since, 0) AS since FROM \"user\" u \
               LEFT JOIN group_member m ON m.group_id = $1 AND m.user_id = u.id WHERE u.id = $2";
    let row = dialect::row(on, sql, vec![group.0.into(), user.as_str().into()]).await?;
    row.map(|row| member(&row)).transpose()
}

/// What a user is to a group; a stranger, where there is no such group.
pub(in crate::store) async fn standing_of(
    on: &impl Connection,
    group: GroupId,
    user: &UserId,
) -> Result<Standing, StoreError> {
    let sql = "SELECT standing FROM group_member WHERE group_id = $1 AND user_id = $2";
    let row = dialect::row(on, sql, vec![group.0.into(), user.as_str().into()]).await?;
    standing(row.map(|row| dialect::get(&row, "standing")).transpose()?)
}

/// Writes what a user is to a group.
pub(super) async fn store(
    tx: &Transaction,
    group: GroupId,
    user: &UserId,
    standing: Standing,
    now: Millis,
) -> Result<(), StoreError> {
    let mut values: Vec<Value> = vec![group.0.into(), user.as_str().into()];
    let sql = match standing.stored() {
        None => "DELETE FROM group_member WHERE group_id = $1 AND user_id = $2",
        Some(stored) => {
            values.extend([Value::from(stored), now.0.into()]);
            "INSERT INTO group_member (group_id, user_id, standing, since) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (group_id, user_id) DO UPDATE SET standing = excluded.standing, since = excluded.since"
        }
    };
    dialect::exec(tx, sql, values).await.map(drop)
}

/// The standing in a column that is null for strangers.
pub(super) fn standing(stored: Option<i16>) -> Result<Standing, StoreError> {
    stored.map_or(Some(Standing::Stranger), Standing::read).ok_or(StoreError::Corrupt("standing"))
}

fn member(row: &Row) -> Result<MemberRow, StoreError> {
    let user = users::user(row)?;
    Ok(MemberRow {
        user,
        standing: standing(dialect::get(row, "standing")?)?,
        since: Millis(dialect::get(row, "since")?),
    })
}
