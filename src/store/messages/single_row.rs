//! The single-row fast path on PostgreSQL: a draft that no other waits beside is locked, checked, numbered and written by
//! one raw statement, where a transaction of four round trips would take twice as long.
//!
//! Nothing is decided here that the general path would decide otherwise. The topic's row is locked first, by incrementing
//! its last seq; then the session's. The joins of the session are read as the statement saw them when it began. Where the
//! count of its joins, which is read from the locked row, has moved since, or anything else is not as in a plain send, the
//! entry finds no sender, its column refuses to be empty, and nothing at all is done. The same happens where an idempotency
//! key is repeated. Then the general path finds out why.

use sea_orm::{DbBackend, Value};

use super::columns::INSERT_ENTRY;
use super::draft::Draft;
use super::types::StoredMessage;
use crate::model::{Code, Message, Millis, Seq};
use crate::store::pool::{Client, QueryOnceError, Row};
use crate::store::{StoreError, dialect, read_marks, users};

/// Why a draft was not stored by the fast path.
pub(super) enum SingleRowError {
    /// Nothing was done: the general path stores the draft or finds out why it may not be stored.
    NotApplicable,
    /// The connection was lost: the draft may have been stored.
    Unknown(StoreError),
    /// Nothing was done, and the general path would fail as well.
    Failed(StoreError),
}

/// Appends a draft to its log.
pub(super) async fn append(client: &Client, draft: &Draft, now: Millis) -> Result<StoredMessage, SingleRowError> {
    if client.backend() != DbBackend::Postgres {
        return Err(SingleRowError::NotApplicable);
    }
    let rows = client.query_once(sql(), values(draft, now)).await.map_err(|error| match error {
        QueryOnceError::Unknown(error) => SingleRowError::Unknown(error),
        QueryOnceError::NotRun(StoreError::Database(error)) => {
            tracing::debug!(%error, "a draft takes the general path");
            SingleRowError::NotApplicable
        }
        QueryOnceError::NotRun(error) => SingleRowError::Failed(error),
    })?;
    let row = rows.first().ok_or(SingleRowError::NotApplicable)?; // no such topic
    stored(draft, row, now).map_err(SingleRowError::Failed)
}

fn sql() -> String {
    format!(
        "WITH grown AS MATERIALIZED (UPDATE topic SET last_seq = last_seq + 1, last_at = GREATEST(last_at, $1) \
         WHERE name = $2 RETURNING id, last_seq, last_at), \
         held AS MATERIALIZED (SELECT s.id, s.joins_version FROM grown JOIN session s ON s.id = $3 \
         WHERE s.ended_at IS NULL AND s.expires_at > $1 FOR SHARE OF s), \
         sender AS MATERIALIZED (SELECT s.user_id, u.username, i.lease_until, s.online_until \
         FROM held JOIN session s ON s.id = held.id AND s.joins_version = held.joins_version JOIN \"user\" u ON u.id = s.user_id \
         LEFT JOIN instance i ON i.id = s.instance_id JOIN grown ON TRUE \
         JOIN joined j ON j.session_id = s.id AND j.topic_id = grown.id AND j.ended IS NULL), \
         entry AS ({INSERT_ENTRY} SELECT grown.id, grown.last_seq, $4, $5, sender.user_id, sender.username, $6, grown.last_at, \
         $7, $8, NULL FROM grown LEFT JOIN sender ON TRUE), \
         mark AS (INSERT INTO read_mark (user_id, topic_id, seq) SELECT sender.user_id, grown.id, grown.last_seq \
         FROM grown JOIN sender ON TRUE {}) \
         SELECT grown.id AS topic, grown.last_seq, grown.last_at, sender.* FROM grown JOIN sender ON TRUE",
        read_marks::FORWARD
    )
}

fn values(draft: &Draft, now: Millis) -> Vec<Value> {
    let (key, hash) = draft.key.as_ref().map(|(key, hash)| (key.as_str(), hash.to_vec())).unzip();
    vec![
        now.0.into(),
        draft.topic.as_str().into(),
        draft.session.0.into(),
        draft.id.0.into(),
        Code::CHAT.0.into(),
        draft.content.as_str().into(),
        key.into(),
        hash.into(),
    ]
}

fn stored(draft: &Draft, row: &Row, now: Millis) -> Result<StoredMessage, StoreError> {
    let message = Message {
        id: draft.id,
        topic: draft.topic.clone(),
        seq: Seq(dialect::get(row, "last_seq")?),
        code: Code::CHAT,
        sender: users::user(row)?,
        content: draft.content.clone().into_raw(),
        created_at: Millis(dialect::get(row, "last_at")?),
        edited_at: None,
        removed_at: None,
    };
    let streaming = dialect::get::<Option<i64>>(row, "lease_until")?.is_some_and(|until| until > now.0);
    let online_until = Millis(dialect::get(row, "online_until")?);
    Ok(StoredMessage {
        key: dialect::get(row, "topic")?,
        message,
        fresh: true,
        online_until: (!streaming).then_some(online_until),
    })
}
