//! Joins: which session listens to which topic.
//!
//! Every transaction that changes joins locks rows in one order: topics, then sessions, then joins. Otherwise two
//! transactions could wait for each other.

use std::time::Duration;

use parlour_entity::{joined, session, topic};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::durability::Durability;
use super::leaves::join_number;
use super::pool::Transaction;
use super::sessions::{live_topics, record_call};
use super::topics::{self, Lock};
use super::{SessionCall, Store, StoreError, TopicKey, TopicRow, blocks, dialect, standings, users};
use crate::model::event_id::JoinNumber;
use crate::model::{Millis, Presence, Seq, SessionId, TopicId, TopicKind, User};

/// A session's request to join a topic.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    /// The session that joins.
    pub session: SessionId,
    /// The topic to join.
    pub topic: TopicId,
    /// True to receive without being shown as present; `None` leaves an existing join as it is.
    pub hidden: Option<bool>,
    /// The largest number of joins that a session may have.
    pub max: usize,
    /// The time for which this call keeps the session online.
    pub grace: Duration,
}

/// A join that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// The topic as it was when this was read.
    pub topic: TopicRow,
    /// The join's number in event ids.
    pub join_number: JoinNumber,
    /// The seq of the newest entry at the time of the join.
    pub position: Seq,
    /// True if the session receives without being shown as present.
    pub hidden: bool,
}

/// A join that was made or repeated.
#[derive(Clone, Debug)]
pub(crate) struct JoinOutcome {
    /// The join.
    pub join: Join,
    /// The session's presence, shown or not.
    pub own: Presence,
    /// True if the join was made by this call, false if it was repeated.
    pub fresh: bool,
    /// The time until which the session is online if nothing else happens.
    pub until: Millis,
    /// The topics on which the session has appeared because this call made it online.
    pub appeared: Vec<TopicKey>,
}

/// The reason why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinRefusal {
    /// The session has ended or expired.
    SessionEnded,
    /// There is no such topic for this user.
    NoTopic,
    /// The session has as many joins as it may have.
    TooMany,
    /// One of the two users of the direct message blocks the other.
    Blocked,
}

impl Store {
    /// Joins a topic. A repeat changes no position.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn join(&self, request: JoinRequest) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
        let now = self.now();
        // A client sees in `ready` which topics its session has joined, so a join that a power cut took is seen.
        self.write(Durability::Delayed, move |tx| Box::pin(async move { join(tx, &request, now).await })).await
    }

    /// Returns the version of a session's joins, the number that its next join gets, and the joins.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn versioned_joins_of(
        &self,
        session: SessionId,
    ) -> Result<(i64, JoinNumber, Vec<Join>), StoreError> {
        // The version is read first: a change between the two statements is then read twice rather than never.
        let found: Option<(i64, i32)> = session::Entity::find_by_id(session.0)
            .select_only()
            .columns([session::Column::JoinsVersion, session::Column::NextJoinNumber])
            .into_tuple()
            .one(self.read())
            .await?;
        let (version, next_join_number) = found.unwrap_or_default();
        Ok((version, join_number(next_join_number)?, self.joins_of(session).await?))
    }

    /// Returns a session's joins, in the order in which they were made.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn joins_of(&self, session: SessionId) -> Result<Vec<Join>, StoreError> {
        let found = joined::Entity::find()
            .find_both_related(topic::Entity)
            .filter(joined::Column::SessionId.eq(session.0))
            .filter(joined::Column::Ended.is_null())
            .order_by_asc(joined::Column::JoinNumber)
            .all(self.read())
            .await?;
        found.into_iter().map(|(join, topic)| with_topic(&join, topic.into())).collect()
    }

    /// Returns a topic; `None` if the session has not joined it.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn joined_topic(&self, session: SessionId, id: &TopicId) -> Result<Option<TopicRow>, StoreError> {
        let found = joined::Entity::find()
            .find_both_related(topic::Entity)
            .filter(topic::Column::Name.eq(id.as_str()))
            .filter(joined::Column::SessionId.eq(session.0))
            .filter(joined::Column::Ended.is_null())
            .one(self.read())
            .await?;
        Ok(found.map(|(_, topic)| topic.into()))
    }

    /// Returns true if a session has a join of a topic that has not ended. Whether the session itself has ended or expired
    /// is not checked.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn has_joined(&self, session: SessionId, topic: TopicKey) -> Result<bool, StoreError> {
        let join = joined::Entity::find_by_id((session.0, topic)).filter(joined::Column::Ended.is_null());
        Ok(join.one(self.read()).await?.is_some())
    }
}

async fn join(
    tx: &Transaction,
    request: &JoinRequest,
    now: Millis,
) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
    // Everyone may always see a room. A DM's and a group's row is locked against a block or a kick in between.
    let lock = if request.topic.kind() == TopicKind::Room { Lock::None } else { Lock::Shared };
    if let Some(topic) = topics::find(tx, &request.topic, lock).await? {
        return join_existing(tx, request, topic, now).await;
    }
    if request.topic.kind() == TopicKind::Group {
        return Ok(Err(JoinRefusal::NoTopic));
    }
    // A join that is refused creates no topic. To undo is safe where to delete is not: a row that another transaction has
    // committed meanwhile, to join or to block, is not undone by this.
    let attempt = tx.begin().await?;
    topics::ensure(&attempt, &request.topic, now).await?;
    let topic = topics::find(&attempt, &request.topic, lock).await?.ok_or(StoreError::Corrupt("topic"))?;
    let joined = join_existing(&attempt, request, topic, now).await?;
    if joined.is_ok() {
        attempt.commit().await?;
    } else {
        attempt.rollback().await?;
    }
    Ok(joined)
}

async fn join_existing(
    tx: &Transaction,
    request: &JoinRequest,
    topic: TopicRow,
    now: Millis,
) -> Result<Result<JoinOutcome, JoinRefusal>, StoreError> {
    let session = request.session.0;
    let Some(joiner) = joiner(tx, request, now).await? else {
        return Ok(Err(JoinRefusal::SessionEnded));
    };
    let Joiner { next_join_number, mut own, until } = joiner;
    // Both in later statements than the topic's lock, which may have waited for a kick or a block.
    if let Some(group) = request.topic.group_id()
        && !standings::find(tx, group, &own.user_id).await?.is_member()
    {
        return Ok(Err(JoinRefusal::NoTopic));
    }
    if blocks::is_blocked(tx, &topic.id).await? {
        return Ok(Err(JoinRefusal::Blocked));
    }
    let appears = record_call(tx, SessionCall { session: request.session, at: now }, request.grace, now).await?;
    if appears {
        own.online_since = now;
    }
    // Every join takes a number, the first of them 1: a session has at most as many joins as numbers taken.
    let taken = usize::try_from(next_join_number - 1).unwrap_or_default();
    let appeared = if appears && taken > 0 { live_topics(tx, &[session]).await? } else { Vec::new() };

    if taken > 0 {
        let existing = joined::Entity::find_by_id((session, topic.key)).filter(joined::Column::Ended.is_null());
        if let Some(join) = existing.one(tx).await? {
            let join = show(tx, request, with_topic(&join, topic)?).await?;
            return Ok(Ok(JoinOutcome { join, own, fresh: false, until, appeared }));
        }
    }
    if taken >= request.max && count_joins(tx, request.session).await? >= request.max {
        return Ok(Err(JoinRefusal::TooMany));
    }
    let join = insert(tx, request, topic, next_join_number).await?;
    Ok(Ok(JoinOutcome { join, own, fresh: true, until, appeared }))
}

/// A session that joins, as it is before that.
struct Joiner {
    next_join_number: i32,
    own: Presence,
    /// The time until which this call keeps the session online.
    until: Millis,
}

/// Reads and locks the session; `None` if it has ended or expired.
// Raw: it locks the session's row in the statement that also reads the user's name. A join would lock the user's row, too.
async fn joiner(tx: &Transaction, request: &JoinRequest, now: Millis) -> Result<Option<Joiner>, StoreError> {
    let sql = format!(
        "SELECT next_join_number, user_id, (SELECT username FROM \"user\" u WHERE u.id = user_id) AS username, \
         online_since, online_until, expires_at FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![request.session.0.into(), now.0.into()]).await? else {
        return Ok(None);
    };
    let User { user_id, username } = users::user(&row)?;
    let online_since = Millis(dialect::get(&row, "online_since")?);
    let online_until = Millis(dialect::get(&row, "online_until")?);
    Ok(Some(Joiner {
        next_join_number: dialect::get(&row, "next_join_number")?,
        own: Presence { user_id, username, session_id: request.session, online_since },
        until: online_until.max(now.plus(request.grace)).min(Millis(dialect::get(&row, "expires_at")?)),
    }))
}

async fn count_joins(tx: &Transaction, session: SessionId) -> Result<usize, StoreError> {
    let joins = joined::Entity::find()
        .filter(joined::Column::SessionId.eq(session.0))
        .filter(joined::Column::Ended.is_null())
        .count(tx)
        .await?;
    usize::try_from(joins).map_err(|_| StoreError::Corrupt("count"))
}

// Raw: every join runs these two statements.
async fn insert(
    tx: &Transaction,
    request: &JoinRequest,
    topic: TopicRow,
    next_join_number: i32,
) -> Result<Join, StoreError> {
    let session = request.session.0;
    let position = topic.last_seq;
    let hidden = request.hidden.unwrap_or(false);
    let sql = "INSERT INTO joined (session_id, topic_id, join_number, position, hidden) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (session_id, topic_id) DO UPDATE SET join_number = excluded.join_number, \
               position = excluded.position, hidden = excluded.hidden, ended = NULL, ended_seq = NULL";
    let values = vec![session.into(), topic.key.into(), next_join_number.into(), position.0.into(), hidden.into()];
    dialect::exec(tx, sql, values).await?;
    let sql = "UPDATE session SET next_join_number = next_join_number + 1, joins_version = joins_version + 1 \
               WHERE id = $1";
    dialect::exec(tx, sql, vec![session.into()]).await?;
    Ok(Join { topic, join_number: join_number(next_join_number)?, position, hidden })
}

/// Shows or hides the session if the request differs: a repeated join changes nothing else.
async fn show(tx: &Transaction, request: &JoinRequest, mut join: Join) -> Result<Join, StoreError> {
    if let Some(hidden) = request.hidden.filter(|&hidden| hidden != join.hidden) {
        joined::Entity::update_many()
            .col_expr(joined::Column::Hidden, Expr::value(hidden))
            .filter(joined::Column::SessionId.eq(request.session.0))
            .filter(joined::Column::TopicId.eq(join.topic.key))
            .exec(tx)
            .await?;
        join.hidden = hidden;
    }
    Ok(join)
}

fn with_topic(join: &joined::Model, topic: TopicRow) -> Result<Join, StoreError> {
    let join_number = join_number(join.join_number)?;
    Ok(Join { topic, join_number, position: Seq(join.position), hidden: join.hidden })
}
