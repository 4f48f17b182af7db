//! A send that no other waits beside, on PostgreSQL: locked, checked, numbered and written by one statement, where a
//! transaction of four round trips would take twice as long.
//!
//! Nothing is decided here that the plain way would decide otherwise. The topic's row is locked first, by being counted up;
//! then the session's. What the session has joined is read as the statement saw it when it began; where the count of its
//! joins, which is read from the locked row, has moved since, or anything else is not as a plain send has it, the entry
//! finds no sender, its column refuses to be empty, and nothing at all was done. So does the key of a repeat. Then the
//! plain way finds out why.

use sea_orm::{DbBackend, Value};

use super::append::{Draft, StoredMessage};
use super::rows::ENTRY;
use crate::model::{Code, Message, Millis, Seq};
use crate::store::pool::{Client, Once, Row};
use crate::store::{StoreError, dialect, read_marks, users};

/// Why a lone send was not stored this way.
pub(super) enum Lone {
    /// Nothing was done: the plain way says why, or does it.
    Plain,
    /// The connection was lost, and perhaps only the answer.
    Unknown(StoreError),
    /// Nothing was done, and the plain way would fare no better.
    Refused(StoreError),
}

/// Appends a draft to its log.
pub(super) async fn append(client: &Client, draft: &Draft, now: Millis) -> Result<StoredMessage, Lone> {
    if client.backend() != DbBackend::Postgres {
        return Err(Lone::Plain);
    }
    let rows = client.query_once(sql(), values(draft, now)).await.map_err(|error| match error {
        Once::Lost(error) => Lone::Unknown(error),
        Once::Refused(StoreError::Database(error)) => {
            tracing::debug!(%error, "a lone send goes the plain way");
            Lone::Plain
        }
        Once::Refused(error) => Lone::Refused(error),
    })?;
    let row = rows.first().ok_or(Lone::Plain)?; // no such topic
    stored(draft, row, now).map_err(Lone::Refused)
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
         entry AS ({ENTRY} SELECT grown.id, grown.last_seq, $4, $5, sender.user_id, sender.username, $6, grown.last_at, \
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
