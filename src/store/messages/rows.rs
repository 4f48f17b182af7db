//! Writing entries that have their numbers, and where their topics end now.

use sea_orm::Value;
use crate::store::pool::Transaction;
use serde_json::value::RawValue;

use crate::model::{Code, Message, MessageId, Millis, Seq, User};
use crate::store::{StoreError, TopicKey, TopicRow, dialect};

/// An entry to be written.
pub(super) struct Row<'a> {
    /// Into which log.
    pub(super) topic: TopicKey,
    /// The entry, numbered.
    pub(super) message: &'a Message,
    /// The idempotency key that it was sent with, and the hash of its content.
    pub(super) key: Option<(&'a str, &'a [u8])>,
    /// The entry that it edits or removes.
    pub(super) target: Option<Seq>,
}

/// An entry of the server's own making, without a number.
#[derive(Clone, Debug)]
pub(in crate::store) struct Announcement {
    /// Its id.
    pub(in crate::store) id: MessageId,
    /// Its kind.
    pub(in crate::store) code: Code,
    /// Whom it is of.
    pub(in crate::store) sender: User,
    /// What it says.
    pub(in crate::store) content: Box<RawValue>,
    /// The entry that it edits or removes.
    pub(in crate::store) target: Option<Seq>,
}

/// Appends one entry to a topic whose row this transaction has locked.
pub(in crate::store) async fn announce(
    tx: &Transaction,
    topic: &mut TopicRow,
    announcement: Announcement,
    now: Millis,
) -> Result<Message, StoreError> {
    let Announcement { id, code, sender, content, target } = announcement;
    let message = number(topic, id, code, sender, content, now);
    insert(tx, &[Row { topic: topic.key, message: &message, key: None, target }]).await?;
    move_ends(tx, &[topic]).await?;
    Ok(message)
}

/// Makes a message of what somebody says: it gets the topic's next number.
pub(super) fn number(
    topic: &mut TopicRow,
    id: MessageId,
    code: Code,
    sender: User,
    content: Box<RawValue>,
    now: Millis,
) -> Message {
    topic.last_seq = topic.last_seq.next();
    topic.last_at = topic.last_at.max(now);
    Message {
        id,
        topic: topic.id.clone(),
        seq: topic.last_seq,
        code,
        sender,
        content,
        created_at: topic.last_at,
        edited_at: None,
        removed_at: None,
    }
}

/// Writes entries.
pub(super) async fn insert(tx: &Transaction, entries: &[Row<'_>]) -> Result<(), StoreError> {
    const WIDTH: usize = 11;
    let mut values: Vec<Value> = Vec::with_capacity(entries.len() * WIDTH);
    let mut rows = String::with_capacity(entries.len() * WIDTH * 5);
    for Row { topic, message, key, target } in entries {
        let open = if rows.is_empty() { "(" } else { ",(" };
        rows.push_str(open);
        rows.push_str(&dialect::places(values.len() + 1, WIDTH));
        rows.push(')');
        let (key, hash) = key.unzip();
        values.extend([
            Value::from(*topic),
            message.seq.0.into(),
            message.id.0.into(),
            message.code.0.into(),
            message.sender.user_id.as_str().into(),
            message.sender.username.as_ref().into(),
            message.content.get().into(),
            message.created_at.0.into(),
            key.into(),
            hash.map(<[u8]>::to_vec).into(),
            target.map(|seq| seq.0).into(),
        ]);
    }
    if values.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO message (topic_id, seq, id, code, sender_id, sender_name, content, created_at, idempotency_key, \
         body_hash, target) VALUES {rows}"
    );
    dialect::exec(tx, sql, values).await.map(drop)
}

/// Stores the new end of topics that grew.
pub(super) async fn move_ends(tx: &Transaction, topics: &[&TopicRow]) -> Result<(), StoreError> {
    let mut values: Vec<Value> = Vec::new();
    let mut rows = Vec::new();
    for topic in topics {
        let n = values.len();
        let row = [n + 1, n + 2, n + 3].map(|n| format!("CAST(${n} AS BIGINT)")).join(",");
        rows.push(format!("({row})"));
        values.extend([Value::from(topic.key), topic.last_seq.0.into(), topic.last_at.0.into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "WITH moved (id, seq, at) AS (VALUES {}) \
         UPDATE topic SET last_seq = moved.seq, last_at = moved.at FROM moved WHERE topic.id = moved.id",
        rows.join(",")
    );
    dialect::exec(tx, sql, values).await.map(drop)
}
