//! Sessions: opening, looking up, refreshing, ending, and being online by a call rather than by a stream.

use std::time::Duration;

use parlour_entity::{checkpoint, instance, joined, session as entity, user};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
    Value,
};
use uuid::Uuid;

use super::durability::Durability;
use super::pool::{Connection, Transaction};
use super::{Store, StoreError, TopicKey, dialect, users};
use crate::model::{Millis, SessionId, User, UserId};

/// A session with its user.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    /// The id.
    pub id: SessionId,
    /// The user.
    pub user: User,
    /// The time of opening.
    pub created_at: Millis,
    /// The time at which the tokens expire.
    pub expires_at: Millis,
    /// True if the session was ended before that.
    pub ended: bool,
    /// The time until which the instance that holds its stream counts as alive; `None` while no stream is open.
    pub streaming_until: Option<Millis>,
    /// The time until which the session is online without a stream.
    pub online_until: Millis,
}

impl SessionRow {
    /// Returns true if its stream is open on an instance that is alive.
    pub(crate) fn is_streaming(&self, now: Millis) -> bool {
        self.streaming_until.is_some_and(|until| until > now)
    }
}

/// The user of a session to be opened.
#[derive(Clone, Debug)]
pub(crate) enum NewSession {
    /// A built-in account: the one with this device hash, or a new one.
    Device {
        /// A keyed hash of the device id.
        hash: String,
        /// The id of a new account.
        new_id: UserId,
        /// The name of a new account.
        username: String,
    },
    /// A user whose token an issuer has signed.
    Issued {
        /// The `sub` of the token.
        id: UserId,
        /// The name of a new user.
        username: String,
    },
}

/// A call of a session, which keeps it online for the grace period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionCall {
    /// The session that called.
    pub session: SessionId,
    /// The time of the call.
    pub at: Millis,
}

impl Store {
    /// Opens a session.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn open_session(
        &self,
        id: SessionId,
        whose: NewSession,
        lifetime: Duration,
    ) -> Result<SessionRow, StoreError> {
        let now = self.now();
        // A client whose session is gone opens another.
        self.write(Durability::Delayed, move |tx| {
            Box::pin(async move {
                let user = ensure_user(tx, &whose, now).await?;
                // Raw: a client's first call waits for this.
                let sql = "INSERT INTO session (id, user_id, created_at, expires_at, last_checkpoint, stream_id, online_since, \
                           online_until, next_join_number, joins_version) VALUES ($1, $2, $3, $4, 0, 0, $3, 0, 1, 0)";
                let expires_at = now.plus(lifetime);
                let user_id = user.user_id.as_str().into();
                dialect::exec(tx, sql, vec![id.0.into(), user_id, now.0.into(), expires_at.0.into()]).await?;
                Ok(SessionRow {
                    id,
                    user,
                    created_at: now,
                    expires_at,
                    ended: false,
                    streaming_until: None,
                    online_until: Millis(0),
                })
            })
        })
        .await
    }

    /// Reads a session, ended or not.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        find(self.read(), id).await
    }

    /// Returns the first `limit` sessions of a user that have neither ended nor expired, oldest first, after the id `after`.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn sessions_of(
        &self,
        user: &UserId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let found = select()
            .filter(entity::Column::UserId.eq(user.as_str()))
            .filter(entity::Column::EndedAt.is_null())
            .filter(entity::Column::ExpiresAt.gt(self.now().0))
            .filter(entity::Column::Id.gt(after.unwrap_or(Uuid::nil())))
            .order_by_asc(entity::Column::Id)
            .limit(limit)
            .into_model::<Found>()
            .all(self.read())
            .await?;
        found.into_iter().map(SessionRow::try_from).collect()
    }

    /// Moves the expiry of a session to `lifetime` from now; `None` if it has ended or expired.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn refresh_session(
        &self,
        id: SessionId,
        lifetime: Duration,
    ) -> Result<Option<SessionRow>, StoreError> {
        let now = self.now();
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                let refreshed = entity::Entity::update_many()
                    .col_expr(entity::Column::ExpiresAt, Expr::value(now.plus(lifetime).0))
                    .filter(entity::Column::Id.eq(id.0))
                    .filter(entity::Column::EndedAt.is_null())
                    .filter(entity::Column::ExpiresAt.gt(now.0))
                    .exec(tx)
                    .await?;
                if refreshed.rows_affected == 0 { Ok(None) } else { find(tx, id).await }
            })
        })
        .await
    }

    /// Ends a session of `owner` with its joins and positions. Returns the topics on which it could be present; `None` if
    /// there is no such session, or it has ended or expired.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn end_session(&self, id: SessionId, owner: UserId) -> Result<Option<Vec<TopicKey>>, StoreError> {
        let now = self.now();
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                let ended = entity::Entity::update_many()
                    .col_expr(entity::Column::EndedAt, Expr::value(now.0))
                    .col_expr(entity::Column::InstanceId, Expr::value(Option::<Uuid>::None))
                    .col_expr(entity::Column::OnlineUntil, Expr::value(0i64))
                    .filter(entity::Column::Id.eq(id.0))
                    .filter(entity::Column::UserId.eq(owner.as_str()))
                    .filter(entity::Column::EndedAt.is_null())
                    .filter(entity::Column::ExpiresAt.gt(now.0))
                    .exec(tx)
                    .await?;
                if ended.rows_affected == 0 {
                    return Ok(None);
                }
                let topics = live_topics(tx, &[id.0]).await?;
                joined::Entity::delete_many().filter(joined::Column::SessionId.eq(id.0)).exec(tx).await?;
                checkpoint::Entity::delete_many().filter(checkpoint::Column::SessionId.eq(id.0)).exec(tx).await?;
                Ok(Some(topics))
            })
        })
        .await
    }

    /// Keeps sessions without a stream online for `grace` from their calls on. Returns the topics on which a session has
    /// appeared because its call made it online.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn record_calls(
        &self,
        calls: Vec<SessionCall>,
        grace: Duration,
    ) -> Result<Vec<TopicKey>, StoreError> {
        let now = self.now();
        self.write(Durability::Delayed, move |tx| {
            Box::pin(async move {
                let mut appeared = Vec::new();
                for call in calls {
                    if record_call(tx, call, grace, now).await? {
                        appeared.push(call.session.0);
                    }
                }
                live_topics(tx, &appeared).await
            })
        })
        .await
    }
}

async fn find(on: &impl Connection, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    let session = select().filter(entity::Column::Id.eq(id.0)).into_model::<Found>();
    session.one(on).await?.map(SessionRow::try_from).transpose()
}

/// A session with its user's name and the lease of the instance that holds its stream.
#[derive(FromQueryResult)]
struct Found {
    id: Uuid,
    user_id: String,
    username: String,
    created_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    online_until: i64,
    lease_until: Option<i64>,
}

/// Selects sessions as [`Found`].
fn select() -> Select<entity::Entity> {
    entity::Entity::find()
        .select_only()
        .columns([
            entity::Column::Id,
            entity::Column::UserId,
            entity::Column::CreatedAt,
            entity::Column::ExpiresAt,
            entity::Column::EndedAt,
            entity::Column::OnlineUntil,
        ])
        .column(user::Column::Username)
        .column(instance::Column::LeaseUntil)
        .inner_join(user::Entity)
        .left_join(instance::Entity)
}

impl TryFrom<Found> for SessionRow {
    type Error = StoreError;

    fn try_from(found: Found) -> Result<Self, StoreError> {
        Ok(Self {
            id: SessionId(found.id),
            user: users::named(&found.user_id, found.username)?,
            created_at: Millis(found.created_at),
            expires_at: Millis(found.expires_at),
            ended: found.ended_at.is_some(),
            streaming_until: found.lease_until.map(Millis),
            online_until: Millis(found.online_until),
        })
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
            users::find_by_device(tx, hash).await?
        }
    };
    user.ok_or(StoreError::Corrupt("user"))
}

/// Moves `online_until` to the end of the grace period after a call. Returns true if the session was offline.
// Raw: one statement reads whether the session is online and changes it, and every join and every opening of a stream runs it.
pub(super) async fn record_call(
    tx: &Transaction,
    call: SessionCall,
    grace: Duration,
    now: Millis,
) -> Result<bool, StoreError> {
    let until = call.at.plus(grace);
    let online = "(online_until > $2 OR EXISTS (SELECT 1 FROM instance i \
                  WHERE i.id = session.instance_id AND i.lease_until > $3))";
    let sql = format!(
        "UPDATE session SET online_until = $1, online_since = CASE WHEN {online} THEN online_since ELSE $2 END \
         WHERE id = $4 AND ended_at IS NULL AND online_until < $1 RETURNING online_since"
    );
    let values: Vec<Value> = vec![until.0.into(), now.0.into(), now.minus(grace).0.into(), call.session.0.into()];
    let Some(row) = dialect::row(tx, sql, values).await? else {
        return Ok(false);
    };
    // A session that came online in this same millisecond appears a second time, which changes nothing.
    Ok(dialect::get::<i64>(&row, "online_since")? == now.0)
}

/// Returns the topics on which any of the sessions can be present.
pub(super) async fn live_topics(tx: &Transaction, sessions: &[Uuid]) -> Result<Vec<TopicKey>, StoreError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let topics = joined::Entity::find()
        .select_only()
        .column(joined::Column::TopicId)
        .distinct()
        .filter(joined::Column::SessionId.is_in(dialect::filled(sessions.iter().copied())))
        .filter(joined::Column::Ended.is_null())
        .filter(joined::Column::Hidden.eq(false));
    Ok(topics.into_tuple().all(tx).await?)
}
