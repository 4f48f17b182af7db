//! Sessions: opening, looking up, refreshing, ending, and being online by a call rather than by a stream.

use std::time::Duration;

use sea_orm::Value;
use uuid::Uuid;

use super::pool::{Durability, Row, Transaction};
use super::{Store, StoreError, TopicKey, dialect, users};
use crate::model::{Millis, SessionId, User, UserId};

/// A session with its user.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user: User,
    /// When it was opened.
    pub created_at: Millis,
    /// When its tokens end.
    pub expires_at: Millis,
    /// Whether it was ended before that.
    pub ended: bool,
    /// Until when the instance that holds its stream counts as alive; none while no stream is open.
    pub streaming_until: Option<Millis>,
    /// Until when it counts as online without a stream.
    pub online_until: Millis,
    /// Since when it has been online, where it is.
    pub online_since: Millis,
}

impl SessionRow {
    /// Whether its stream is open, on an instance that lives.
    pub fn is_streaming(&self, now: Millis) -> bool {
        self.streaming_until.is_some_and(|until| until > now)
    }
}

/// A session to be opened, and whose it shall be.
#[derive(Clone, Debug)]
pub enum NewSession {
    /// A built-in account: the one with this device hash, or a new one of this id and name.
    Device {
        /// Keyed hash of the device id.
        hash: String,
        /// The id that a new account gets.
        new_id: UserId,
        /// The name that a new account gets.
        username: String,
    },
    /// A user whom an issuer vouches for, by this name where they are new.
    Issued {
        /// The `sub` of their token.
        id: UserId,
        /// How a new user is called.
        username: String,
    },
}

/// A session's call that keeps it online.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Which session called.
    pub session: SessionId,
    /// When.
    pub at: Millis,
}

const SESSION: &str = "SELECT s.id, s.user_id, u.username, s.created_at, s.expires_at, s.ended_at, s.online_until, \
                       s.online_since, i.lease_until FROM session s JOIN \"user\" u ON u.id = s.user_id \
                       LEFT JOIN instance i ON i.id = s.instance_id";

impl Store {
    /// Opens a session.
    pub async fn open_session(
        &self,
        id: SessionId,
        whose: NewSession,
        lifetime: Duration,
    ) -> Result<SessionRow, StoreError> {
        let now = self.now();
        // A client that finds no session any more opens another.
        self.change_delayed(|_| Durability::Delayed, move |tx| {
            Box::pin(async move {
                let user = ensure_user(tx, &whose, now).await?;
                let sql = "INSERT INTO session (id, user_id, created_at, expires_at, last_checkpoint, stream_id, online_since, \
                           online_until, next_join_number, joins_version) VALUES ($1, $2, $3, $4, 0, 0, $3, 0, 1, 0)";
                let expires_at = now.plus(lifetime);
                let user_id = user.user_id.as_str().into();
                dialect::exec(tx, sql, vec![id.0.into(), user_id, now.0.into(), expires_at.0.into()]).await?;
                let (ended, streaming_until, online_until, online_since) = (false, None, Millis(0), now);
                Ok(SessionRow {
                    id,
                    user,
                    created_at: now,
                    expires_at,
                    ended,
                    streaming_until,
                    online_until,
                    online_since,
                })
            })
        })
        .await
    }

    /// A session, ended or not.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let row = dialect::row(self.read(), format!("{SESSION} WHERE s.id = $1"), vec![id.0.into()]).await?;
        row.map(|row| session(&row)).transpose()
    }

    /// The sessions of a user that live, oldest first, beyond `after`.
    pub async fn sessions_of(
        &self,
        user: &UserId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let sql = format!(
            "{SESSION} WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.id > $3 \
             ORDER BY s.id LIMIT $4"
        );
        let after = after.unwrap_or(Uuid::nil());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![user.as_str().into(), self.now().0.into(), after.into(), limit.into()];
        dialect::rows(self.read(), sql, values).await?.iter().map(session).collect()
    }

    /// Moves a living session's end to `lifetime` from now; `None` where it lives no more.
    pub async fn refresh_session(&self, id: SessionId, lifetime: Duration) -> Result<Option<SessionRow>, StoreError> {
        let now = self.now();
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET expires_at = $1 WHERE id = $2 AND ended_at IS NULL AND expires_at > $3";
                let values = vec![now.plus(lifetime).0.into(), id.0.into(), now.0.into()];
                if dialect::exec(tx, sql, values).await? == 0 {
                    return Ok(None);
                }
                let row = dialect::row(tx, format!("{SESSION} WHERE s.id = $1"), vec![id.0.into()]).await?;
                row.map(|row| session(&row)).transpose()
            })
        })
        .await
    }

    /// Ends a living session of `owner`: its joins and positions go with it. Answers the topics that it had joined;
    /// `None` where there is no such session.
    pub async fn end_session(&self, id: SessionId, owner: UserId) -> Result<Option<Vec<TopicKey>>, StoreError> {
        let now = self.now();
        self.change(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET ended_at = $1, instance_id = NULL, online_until = 0 \
                           WHERE id = $2 AND user_id = $3 AND ended_at IS NULL AND expires_at > $1";
                let values = vec![now.0.into(), id.0.into(), owner.as_str().into()];
                if dialect::exec(tx, sql, values).await? == 0 {
                    return Ok(None);
                }
                let topics = live_topics(tx, &[id.0]).await?;
                dialect::exec(tx, "DELETE FROM joined WHERE session_id = $1", vec![id.0.into()]).await?;
                dialect::exec(tx, "DELETE FROM checkpoint WHERE session_id = $1", vec![id.0.into()]).await?;
                Ok(Some(topics))
            })
        })
        .await
    }

    /// Keeps sessions without a stream online for `grace` from their calls on. Answers the topics on which that makes
    /// somebody appear.
    pub async fn touch_sessions(&self, touches: Vec<Touch>, grace: Duration) -> Result<Vec<TopicKey>, StoreError> {
        let now = self.now();
        self.change_delayed(
            |_| Durability::Delayed,
            move |tx| {
                Box::pin(async move {
                    let mut appeared = Vec::new();
                    for touch in touches {
                        if touch_session(tx, touch, grace, now).await? {
                            appeared.push(touch.session.0);
                        }
                    }
                    live_topics(tx, &appeared).await
                })
            },
        )
        .await
    }
}

async fn ensure_user(tx: &Transaction, whose: &NewSession, now: Millis) -> Result<User, StoreError> {
    let user = match whose {
        NewSession::Issued { id, username } => {
            users::ensure(tx, id, username, None, now).await?;
            users::find(tx, id).await?
        }
        NewSession::Device { hash, new_id, username } => {
            users::ensure(tx, new_id, username, Some(hash), now).await?;
            let sql = "SELECT id AS user_id, username FROM \"user\" WHERE device_hash = $1";
            dialect::row(tx, sql, vec![hash.as_str().into()]).await?.map(|row| users::user(&row)).transpose()?
        }
    };
    user.ok_or(StoreError::Corrupt("user"))
}

/// Moves `online_until`; answers whether the session was offline.
pub(super) async fn touch_session(
    tx: &Transaction,
    touch: Touch,
    grace: Duration,
    now: Millis,
) -> Result<bool, StoreError> {
    let until = touch.at.plus(grace);
    let online = "(online_until > $2 OR EXISTS (SELECT 1 FROM instance i WHERE i.id = session.instance_id AND i.lease_until > $3))";
    let sql = format!(
        "UPDATE session SET online_until = $1, online_since = CASE WHEN {online} THEN online_since ELSE $2 END \
         WHERE id = $4 AND ended_at IS NULL AND online_until < $1 RETURNING online_since"
    );
    let values: Vec<Value> = vec![until.0.into(), now.0.into(), now.minus(grace).0.into(), touch.session.0.into()];
    let Some(row) = dialect::row(tx, sql, values).await? else {
        return Ok(false);
    };
    // One that came online in this very millisecond appears once more, which changes nothing.
    Ok(dialect::get::<i64>(&row, "online_since")? == now.0)
}

/// The topics on which any of the sessions can be seen.
pub(super) async fn live_topics(tx: &Transaction, sessions: &[Uuid]) -> Result<Vec<TopicKey>, StoreError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT topic_id FROM joined WHERE ended IS NULL AND NOT hidden AND session_id IN ({})",
        dialect::places(1, sessions.len())
    );
    let values = sessions.iter().map(|&id| id.into()).collect();
    dialect::rows(tx, sql, values).await?.iter().map(|row| dialect::get(row, "topic_id")).collect()
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: SessionId(dialect::get(row, "id")?),
        user: users::user(row)?,
        created_at: Millis(dialect::get(row, "created_at")?),
        expires_at: Millis(dialect::get(row, "expires_at")?),
        ended: dialect::get::<Option<i64>>(row, "ended_at")?.is_some(),
        streaming_until: dialect::get::<Option<i64>>(row, "lease_until")?.map(Millis),
        online_until: Millis(dialect::get(row, "online_until")?),
        online_since: Millis(dialect::get(row, "online_since")?),
    })
}
