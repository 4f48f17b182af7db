//! Streams: opening one, which takes the next checkpoint, and closing it.
//!
//! A session has one stream at a time. The number of the checkpoint that a stream opened with is its id: whatever ends,
//! closes or moves a stream acts only if that is still the session's latest.

use std::collections::HashMap;
use std::time::Duration;

use parlour_entity::session as entity;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;

use super::checkpoints::{self, Checkpoint};
use super::durability::Durability;
use super::leaves::{LeaveReason, join_number};
use super::pool::{Row, Transaction};
use super::sessions::{live_topics, record_call};
use super::{SessionCall, Store, StoreError, TopicKey, dialect};
use crate::model::event_id::{EventId, JoinNumber, Progress};
use crate::model::{Millis, Seq, SessionId, StreamId, TopicId};

/// The start of a stream.
#[derive(Clone, Debug)]
pub(crate) enum Resume {
    /// The positions of this event id; if it cannot be used, as [`Resume::Last`].
    Id(EventId),
    /// The positions of the last event id that the session resumed from; without one, those of its joins.
    Last,
    /// The end of each topic.
    Now,
}

/// A stream to be opened.
#[derive(Clone, Debug)]
pub(crate) struct StreamRequest {
    /// The session.
    pub session: SessionId,
    /// The instance that will hold the stream.
    pub instance: Uuid,
    /// The start of the stream.
    pub resume: Resume,
    /// The presence grace period.
    pub grace: Duration,
}

/// One topic of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamJoin {
    /// The join's number in ids.
    pub join_number: JoinNumber,
    /// The topic's key.
    pub key: TopicKey,
    /// The topic's id.
    pub topic: TopicId,
    /// The seq up to which everything has been sent.
    pub position: Seq,
    /// The seq of the newest entry when the stream opened.
    pub last_seq: Seq,
}

/// A stream that has been opened.
#[derive(Clone, Debug)]
pub(crate) struct OpenedStream {
    /// The stream's id. Its first checkpoint has been stored with it.
    pub stream: StreamId,
    /// The number that the session's next join gets.
    pub next_join_number: JoinNumber,
    /// The version of the session's joins.
    pub joins_version: i64,
    /// The topics that it listens to.
    pub joins: Vec<StreamJoin>,
    /// The joins that have ended without the client having received the end.
    pub left: Vec<(JoinNumber, TopicId, LeaveReason)>,
    /// True if it continues from the event id that was given.
    pub resumed: bool,
    /// The time at which the session's tokens expire.
    pub expires_at: Millis,
    /// The topics on which the session has appeared because the stream made it online.
    pub appeared: Vec<TopicKey>,
}

/// A session's version: it changes when something happens to the session that its stream has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The session's latest stream.
    pub stream: StreamId,
    /// A counter that grows with every change of the session's joins.
    pub joins: i64,
}

/// The reason why no stream was opened: the session has ended or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamRefused;

impl Store {
    /// Opens a session's stream, which replaces any other stream of the session.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn open_stream(
        &self,
        open: StreamRequest,
    ) -> Result<Result<OpenedStream, StreamRefused>, StoreError> {
        let now = self.now();
        self.write(Durability::Delayed, move |tx| Box::pin(async move { open_stream(tx, &open, now).await })).await
    }

    /// Closes streams, each only if it is still its session's latest: the sessions stay online for `grace`. Returns the
    /// topics on which they are present until then.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn close_streams(
        &self,
        streams: Vec<(SessionId, StreamId)>,
        grace: Duration,
    ) -> Result<Vec<TopicKey>, StoreError> {
        let until = self.now().plus(grace);
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                let mut closed = Vec::new();
                for (session, stream) in streams {
                    let updated = entity::Entity::update_many()
                        .col_expr(entity::Column::InstanceId, Expr::value(Option::<Uuid>::None))
                        .col_expr(entity::Column::OnlineUntil, Expr::value(until.0))
                        .filter(entity::Column::Id.eq(session.0))
                        .filter(entity::Column::StreamId.eq(stream.stored()))
                        .exec(tx)
                        .await?;
                    if updated.rows_affected > 0 {
                        closed.push(session.0);
                    }
                }
                live_topics(tx, &closed).await
            })
        })
        .await
    }

    /// Returns the streams that an instance holds according to the database.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn streams_of_instance(&self, instance: Uuid) -> Result<Vec<(SessionId, StreamId)>, StoreError> {
        let found: Vec<(Uuid, i64)> = entity::Entity::find()
            .select_only()
            .columns([entity::Column::Id, entity::Column::StreamId])
            .filter(entity::Column::InstanceId.eq(instance))
            .into_tuple()
            .all(self.read())
            .await?;
        Ok(found.into_iter().map(|(id, stream)| (SessionId(id), StreamId(stream.unsigned_abs()))).collect())
    }

    /// Records again that an instance holds these streams, each only if it is still its session's latest.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn assert_streams(
        &self,
        instance: Uuid,
        streams: Vec<(SessionId, StreamId)>,
    ) -> Result<(), StoreError> {
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                for (session, stream) in streams {
                    entity::Entity::update_many()
                        .col_expr(entity::Column::InstanceId, Expr::value(instance))
                        .filter(entity::Column::Id.eq(session.0))
                        .filter(entity::Column::StreamId.eq(stream.stored()))
                        .filter(entity::Column::EndedAt.is_null())
                        .exec(tx)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Returns the versions of those of these sessions that have not been ended.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    // Raw: every instance runs it every 5 s for all sessions that it streams for, and reads thousands of rows at once.
    pub(crate) async fn versions(&self, sessions: &[SessionId]) -> Result<HashMap<SessionId, Version>, StoreError> {
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = dialect::filled(sessions.iter().map(|session| session.0.into()));
        let places = dialect::places(1, ids.len());
        let sql =
            format!("SELECT id, stream_id, joins_version FROM session WHERE ended_at IS NULL AND id IN ({places})");
        let rows = dialect::rows(self.read(), sql, ids).await?;
        let version = |row: &Row| {
            let stream: i64 = dialect::get(row, "stream_id")?;
            let version =
                Version { stream: StreamId(stream.unsigned_abs()), joins: dialect::get(row, "joins_version")? };
            Ok((SessionId(dialect::get(row, "id")?), version))
        };
        rows.iter().map(version).collect()
    }
}

// Raw in what every opening runs: a crowd that comes back opens its streams at once.
async fn open_stream(
    tx: &Transaction,
    open: &StreamRequest,
    now: Millis,
) -> Result<Result<OpenedStream, StreamRefused>, StoreError> {
    let id = open.session;
    let sql = format!(
        "SELECT last_checkpoint, next_join_number, joins_version, expires_at, resume_checkpoint, resume_moved FROM session \
         WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{}",
        dialect::for_update(tx)
    );
    let Some(row) = dialect::row(tx, sql, vec![id.0.into(), now.0.into()]).await? else {
        return Ok(Err(StreamRefused));
    };
    let number = dialect::get::<i64>(&row, "last_checkpoint")? + 1;
    let next_join_number: i32 = dialect::get(&row, "next_join_number")?;
    let given = match &open.resume {
        Resume::Id(event) => checkpoints::resume(tx, id, event.checkpoint.stored(), &event.moved, number).await?,
        Resume::Last | Resume::Now => None,
    };
    let resumed = given.is_some();
    let base = match (given, &open.resume) {
        (Some(base), _) => Some(base),
        (None, Resume::Now) => None,
        (None, _) => checkpoints::last_resumed(tx, id, &row).await?,
    };
    let at_end = matches!(open.resume, Resume::Now);
    let (joins, left) = start_joins(tx, id, base.as_ref(), at_end).await?;
    // A checkpoint with the positions of the joins may be lost: without it the stream starts at the same positions, as
    // whatever it sends is stored later. Without any other checkpoint, a client would receive again what it has.
    let says_nothing = base.is_none() && !at_end && left.is_empty() && joins.iter().all(|j| j.position == j.last_seq);
    if !says_nothing {
        tx.require_full_durability();
    }

    let positions = joins.iter().map(|j| (j.join_number, Progress::SentUpTo(j.position)));
    let ended = left.iter().map(|(join_number, ..)| (*join_number, Progress::SentUpTo(Seq(0))));
    let mut positions: Vec<_> = positions.chain(ended).collect();
    positions.sort_by_key(|(join_number, _)| *join_number);
    checkpoints::insert(tx, id, number, next_join_number, &positions).await?;

    let appeared = record_call(tx, SessionCall { session: id, at: now }, open.grace, now).await?;
    let sql = "UPDATE session SET last_checkpoint = $1, stream_id = $1, instance_id = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![number.into(), open.instance.into(), id.0.into()]).await?;
    let appeared = if appeared { live_topics(tx, &[id.0]).await? } else { Vec::new() };
    let expires_at = Millis(dialect::get(&row, "expires_at")?);
    let next_join_number = JoinNumber(next_join_number.unsigned_abs());
    let joins_version = dialect::get(&row, "joins_version")?;
    let opened = OpenedStream {
        stream: StreamId(number.unsigned_abs()),
        next_join_number,
        joins_version,
        joins,
        left,
        resumed,
        expires_at,
        appeared,
    };
    Ok(Ok(opened))
}

/// The joins of a stream, and those that have ended without the client having received the end.
type StartJoins = (Vec<StreamJoin>, Vec<(JoinNumber, TopicId, LeaveReason)>);

/// Returns each join of the session with the position at which the stream starts, and the joins that have ended without the
/// client having received the end. Deletes the ended joins whose end the client has received for certain.
async fn start_joins(
    tx: &Transaction,
    session: SessionId,
    base: Option<&Checkpoint>,
    at_end: bool,
) -> Result<StartJoins, StoreError> {
    let sql = "SELECT j.topic_id, j.join_number, j.position, j.ended, t.name, t.last_seq FROM joined j \
               JOIN topic t ON t.id = j.topic_id WHERE j.session_id = $1 ORDER BY j.join_number";
    let mut joins = Vec::new();
    let mut left = Vec::new();
    for row in dialect::rows(tx, sql, vec![session.0.into()]).await? {
        let join_number = join_number(dialect::get(&row, "join_number")?)?;
        let key: TopicKey = dialect::get(&row, "topic_id")?;
        let topic = TopicId::stored(&dialect::get::<String>(&row, "name")?);
        let progress = base.and_then(|base| base.positions.get(&join_number).copied());
        let Some(ended) = dialect::get::<Option<i16>>(&row, "ended")? else {
            let joined = Seq(dialect::get(&row, "position")?);
            let last_seq = Seq(dialect::get(&row, "last_seq")?);
            let position = match progress {
                _ if at_end => last_seq,
                // An event id moves its own stream only, between the position of the join and the end of the log.
                Some(Progress::SentUpTo(seq)) => seq.clamp(joined, last_seq),
                _ => joined,
            };
            joins.push(StreamJoin { join_number, key, topic, position, last_seq });
            continue;
        };
        let ended_before = base.is_some_and(|base| join_number.0 < base.next_join_number && progress.is_none());
        if ended_before || progress == Some(Progress::EndSent) {
            let sql = "DELETE FROM joined WHERE session_id = $1 AND topic_id = $2 AND ended IS NOT NULL";
            dialect::exec(tx, sql, vec![session.0.into(), key.into()]).await?;
        } else {
            left.push((join_number, topic, LeaveReason::read(ended)?));
        }
    }
    Ok((joins, left))
}

#[cfg(test)]
mod tests;
