//! Joins: which session listens to which topic.
//!
//! Every transaction that changes joins locks in one order: topics, then sessions, then joins; or two of them could wait
//! for each other.

mod ends;

use std::time::Duration;

pub(super) use self::ends::end_joins;
pub use self::ends::{EndedJoin, JoinEnd, LeaveReason};
use super::pool::{Durability, Row, Transaction};
use super::sessions::{live_topics, touch_session};
use super::topics::TOPIC;
use super::{Store, StoreError, TopicKey, TopicRow, Touch, blocks, dialect, topics, users};
use crate::model::event_id::JoinNumber;
use crate::model::group::Standing;
use crate::model::{Millis, Presence, Seq, SessionId, TopicId, TopicKind, User};

/// What a session asks for.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Who.
    pub session: SessionId,
    /// What.
    pub topic: TopicId,
    /// Whether to receive without being shown; `None` leaves a join that exists as it is.
    pub hidden: Option<bool>,
    /// How many joins a session may have.
    pub max: usize,
    /// For how long this call keeps the session online.
    pub grace: Duration,
}

/// A join that lasts.
#[derive(Clone, Debug)]
pub struct Join {
    /// The topic as it was then.
    pub topic: TopicRow,
    /// The join's number in event ids.
    pub join_number: JoinNumber,
    /// The newest entry when it was joined.
    pub position: Seq,
    /// Receives without being shown.
    pub hidden: bool,
}

/// A join that was made or repeated.
#[derive(Clone, Debug)]
pub struct JoinOutcome {
    /// The join.
    pub join: Join,
    /// The session's presence, shown or not.
    pub own: Presence,
    /// Whether the session has come by it.
    pub fresh: bool,
    /// Until when it stays online, if nothing more happens.
    pub until: Millis,
    /// The topics on which the session has appeared by calling.
    pub appeared: Vec<TopicKey>,
}

/// Why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The session lives no more.
    SessionEnded,
    /// There is no such topic for this user.
    NoTopic,
    /// It has as many joins as it may.
    TooMany,
    /// One of the two users of the direct message blocks the other.
    Blocked,
}

const JOINED: &str = "SELECT t.id, t.name, t.last_seq, t.last_at, t.created_at, j.join_number, j.position, j.hidden, j.ended \
                      FROM joined j JOIN topic t ON t.id = j.topic_id";

impl Store {
    /// Joins; a repeat moves nothing.
    pub async fn join(&self, joining: JoinRequest) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
        let now = self.now();
        // A client sees in `ready` what it has joined, and in a refusal that it has not.
        self.change_delayed(|_| Durability::Delayed, move |tx| Box::pin(async move { join(tx, &joining, now).await }))
            .await
    }

    /// What a session has joined, the version of that, and the join_number that its next join gets.
    pub async fn versioned_joins_of(&self, session: SessionId) -> Result<(i64, JoinNumber, Vec<Join>), StoreError> {
        // The version first: what changes in between is read twice rather than never.
        let sql = "SELECT joins_version, next_join_number FROM session WHERE id = $1";
        let (version, next_join_number) = match dialect::row(self.read(), sql, vec![session.0.into()]).await? {
            Some(row) => (dialect::get(&row, "joins_version")?, dialect::get::<i32>(&row, "next_join_number")?),
            None => (0, 0),
        };
        Ok((version, JoinNumber(next_join_number.unsigned_abs()), self.joins_of(session).await?))
    }

    /// What a session has joined, in the order of joining.
    pub async fn joins_of(&self, session: SessionId) -> Result<Vec<Join>, StoreError> {
        let sql = format!("{JOINED} WHERE j.session_id = $1 AND j.ended IS NULL ORDER BY j.join_number");
        dialect::rows(self.read(), sql, vec![session.0.into()]).await?.iter().map(joined).collect()
    }

    /// A topic, where a session has joined it.
    pub async fn joined_topic(&self, session: SessionId, id: &TopicId) -> Result<Option<TopicRow>, StoreError> {
        let sql = format!(
            "{TOPIC} WHERE name = $1 AND EXISTS (SELECT 1 FROM joined \
             WHERE session_id = $2 AND topic_id = topic.id AND ended IS NULL)"
        );
        let row = dialect::row(self.read(), sql, vec![id.as_str().into(), session.0.into()]).await?;
        row.map(|row| topics::topic(&row)).transpose()
    }

    /// Whether a session may speak in a topic: it lives and has joined it.
    pub async fn has_joined(&self, session: SessionId, topic: TopicKey) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM joined WHERE session_id = $1 AND topic_id = $2 AND ended IS NULL";
        Ok(dialect::row(self.read(), sql, vec![session.0.into(), topic.into()]).await?.is_some())
    }
}

async fn join(
    tx: &Transaction,
    joining: &JoinRequest,
    now: Millis,
) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
    // Who may see a room never changes. A DM's and a group's row is locked against a block or a kick in between.
    let lock = if joining.topic.kind() == TopicKind::Room { "" } else { dialect::for_share(tx) };
    if let Some(topic) = topics::find(tx, &joining.topic, lock).await? {
        return join_existing(tx, joining, topic, now).await;
    }
    if joining.topic.kind() == TopicKind::Group {
        return Ok(Err(JoinRefusal::NoTopic));
    }
    // A join that is refused makes no topic. To undo is safe where to delete is not: a row that somebody else has committed
    // meanwhile, to join or to block, is none of what this undoes.
    let attempt = tx.begin().await?;
    topics::ensure(&attempt, &joining.topic, now).await?;
    let topic = topics::find(&attempt, &joining.topic, lock).await?.ok_or(StoreError::Corrupt("topic"))?;
    let joined = join_existing(&attempt, joining, topic, now).await?;
    if joined.is_ok() {
        attempt.commit().await?;
    } else {
        attempt.rollback().await?;
    }
    Ok(joined)
}

/// Whether the session's user belongs to the group whose topic it is; everywhere else they do.
async fn is_member(tx: &Transaction, joining: &JoinRequest) -> Result<bool, StoreError> {
    let Some(group) = joining.topic.group_id() else {
        return Ok(true);
    };
    let sql = "SELECT m.standing FROM group_member m JOIN session s ON s.user_id = m.user_id \
               WHERE s.id = $1 AND m.group_id = $2 AND m.standing <= $3";
    let values = vec![joining.session.0.into(), group.0.into(), Standing::Member.stored().into()];
    Ok(dialect::row(tx, sql, values).await?.is_some())
}

async fn join_existing(
    tx: &Transaction,
    joining: &JoinRequest,
    topic: TopicRow,
    now: Millis,
) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
    let session = joining.session.0;
    let Some(joiner) = joiner(tx, joining, now).await? else {
        return Ok(Err(JoinRefusal::SessionEnded));
    };
    // Both in later statements than the topic's lock, which may have waited for a kick or a block.
    if !is_member(tx, joining).await? {
        return Ok(Err(JoinRefusal::NoTopic));
    }
    if blocks::is_blocked(tx, &topic.id).await? {
        return Ok(Err(JoinRefusal::Blocked));
    }
    let Joiner { next_join_number, mut own, until } = joiner;
    let appears = touch_session(tx, Touch { session: joining.session, at: now }, joining.grace, now).await?;
    if appears {
        own.online_since = now;
    }
    // Every join takes a join_number, the first of them 1: there are no more than have been taken.
    let taken = usize::try_from(next_join_number - 1).unwrap_or_default();
    let appeared = if appears && taken > 0 { live_topics(tx, &[session]).await? } else { Vec::new() };

    if taken > 0 {
        let sql = format!("{JOINED} WHERE j.session_id = $1 AND j.topic_id = $2 AND j.ended IS NULL");
        if let Some(row) = dialect::row(tx, sql, vec![session.into(), topic.key.into()]).await? {
            let join = show(tx, joining, joined(&row)?).await?;
            return Ok(Ok(JoinOutcome { join, own, fresh: false, until, appeared }));
        }
    }
    if taken >= joining.max && count_joins(tx, joining.session).await? >= joining.max {
        return Ok(Err(JoinRefusal::TooMany));
    }
    let join = insert(tx, joining, topic, next_join_number).await?;
    Ok(Ok(JoinOutcome { join, own, fresh: true, until, appeared }))
}

/// A session that joins, as it is before that.
struct Joiner {
    next_join_number: i32,
    own: Presence,
    /// Until when it is online by this call.
    until: Millis,
}

/// The session, locked; `None` where it lives no more.
async fn joiner(tx: &Transaction, joining: &JoinRequest, now: Millis) -> Result<Option<Joiner>, StoreError> {
    let sql = format!(
        "SELECT next_join_number, user_id, (SELECT username FROM \"user\" u WHERE u.id = user_id) AS username, online_since, \
         online_until, expires_at FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![joining.session.0.into(), now.0.into()]).await? else {
        return Ok(None);
    };
    let User { user_id, username } = users::user(&row)?;
    let online_since = Millis(dialect::get(&row, "online_since")?);
    let online_until = Millis(dialect::get(&row, "online_until")?);
    Ok(Some(Joiner {
        next_join_number: dialect::get(&row, "next_join_number")?,
        own: Presence { user_id, username, session_id: joining.session, online_since },
        until: online_until.max(now.plus(joining.grace)).min(Millis(dialect::get(&row, "expires_at")?)),
    }))
}

async fn count_joins(tx: &Transaction, session: SessionId) -> Result<usize, StoreError> {
    let sql = "SELECT COUNT(*) AS count FROM joined WHERE session_id = $1 AND ended IS NULL";
    let joins: i64 = match dialect::row(tx, sql, vec![session.0.into()]).await? {
        Some(row) => dialect::get(&row, "count")?,
        None => 0,
    };
    usize::try_from(joins).map_err(|_| StoreError::Corrupt("count"))
}

async fn insert(
    tx: &Transaction,
    joining: &JoinRequest,
    topic: TopicRow,
    next_join_number: i32,
) -> Result<Join, StoreError> {
    let session = joining.session.0;
    let hidden = joining.hidden.unwrap_or(false);
    let sql = "INSERT INTO joined (session_id, topic_id, join_number, position, hidden) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (session_id, topic_id) DO UPDATE SET join_number = excluded.join_number, position = excluded.position, \
               hidden = excluded.hidden, ended = NULL, ended_seq = NULL";
    let position = topic.last_seq;
    let values = vec![session.into(), topic.key.into(), next_join_number.into(), position.0.into(), hidden.into()];
    dialect::exec(tx, sql, values).await?;
    dialect::exec(
        tx,
        "UPDATE session SET next_join_number = next_join_number + 1, joins_version = joins_version + 1 WHERE id = $1",
        vec![session.into()],
    )
    .await?;
    let join_number = JoinNumber(u32::try_from(next_join_number).map_err(|_| StoreError::Corrupt("join_number"))?);
    Ok(Join { topic, join_number, position, hidden })
}

/// A repeated join may show or hide the session, and nothing else.
async fn show(tx: &Transaction, joining: &JoinRequest, mut join: Join) -> Result<Join, StoreError> {
    if let Some(hidden) = joining.hidden.filter(|&hidden| hidden != join.hidden) {
        let sql = "UPDATE joined SET hidden = $1 WHERE session_id = $2 AND topic_id = $3";
        dialect::exec(tx, sql, vec![hidden.into(), joining.session.0.into(), join.topic.key.into()]).await?;
        join.hidden = hidden;
    }
    Ok(join)
}

pub(super) fn join_number(row: &Row) -> Result<JoinNumber, StoreError> {
    let join_number: i32 = dialect::get(row, "join_number")?;
    u32::try_from(join_number).map(JoinNumber).map_err(|_| StoreError::Corrupt("join_number"))
}

fn joined(row: &Row) -> Result<Join, StoreError> {
    Ok(Join {
        topic: topics::topic(row)?,
        join_number: join_number(row)?,
        position: Seq(dialect::get(row, "position")?),
        hidden: dialect::get(row, "hidden")?,
    })
}
