//! Writing entries that have their numbers, and where their topics end now.

use std::collections::BTreeMap;

use sea_orm::Value;
use sea_orm::sea_query::ValueType;
use serde_json::value::RawValue;

use super::sqlite;
use crate::model::{Code, Message, MessageId, Millis, Seq, User, UserId};
use crate::store::pool::Transaction;
use crate::store::{StoreError, TopicKey, TopicRow, dialect, read_marks};

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
    let entry = Row { topic: topic.key, message: &message, key: None, target };
    write(tx, &[entry], &[topic], &Marks::new()).await?;
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

/// Where an entry is written, and the columns that it has from the beginning.
pub(super) const ENTRY: &str = "INSERT INTO message (topic_id, seq, id, code, sender_id, sender_name, content, created_at, \
                     idempotency_key, body_hash, target)";

/// Read marks that move with what is written.
pub(super) type Marks<'a> = BTreeMap<(&'a UserId, TopicKey), Seq>;

/// Writes entries, the new ends of the topics that grew, and how far their senders have read by that.
pub(super) async fn write(
    tx: &Transaction,
    entries: &[Row<'_>],
    topics: &[&TopicRow],
    marks: &Marks<'_>,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    match tx {
        Transaction::Postgres(_) => write_at_once(tx, entries, topics, marks).await,
        Transaction::Sqlite(tx) => sqlite::write(tx.connection(), entries, topics, marks),
    }
}

/// PostgreSQL is a network away: all goes in one statement, of one text however much it is, so that it is planned once.
/// Arrays hold no nulls here: what is empty stands for none.
async fn write_at_once(
    tx: &Transaction,
    entries: &[Row<'_>],
    topics: &[&TopicRow],
    marks: &Marks<'_>,
) -> Result<(), StoreError> {
    let sql = format!(
        "WITH entry AS ({ENTRY} \
         SELECT topic, seq, id, code, sender, name, content, at, NULLIF(key, ''), NULLIF(hash, ''), NULLIF(target, 0) \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         AS e (topic, seq, id, code, sender, name, content, at, key, hash, target)), \
         moved AS (UPDATE topic SET last_seq = m.seq, last_at = m.at FROM unnest($12, $13, $14) AS m (id, seq, at) \
         WHERE topic.id = m.id) \
         INSERT INTO read_mark (user_id, topic_id, seq) SELECT * FROM unnest($15, $16, $17) {}",
        read_marks::FORWARD
    );
    let messages = || entries.iter().map(|entry| entry.message);
    let keys = || entries.iter().map(|entry| entry.key.unwrap_or_default());
    let values = vec![
        array(entries.iter().map(|entry| entry.topic)),
        array(messages().map(|message| message.seq.0)),
        array(messages().map(|message| message.id.0)),
        array(messages().map(|message| message.code.0)),
        array(messages().map(|message| message.sender.user_id.as_str().to_owned())),
        array(messages().map(|message| message.sender.username.to_string())),
        array(messages().map(|message| message.content.get().to_owned())),
        array(messages().map(|message| message.created_at.0)),
        array(keys().map(|(key, _)| key.to_owned())),
        array(keys().map(|(_, hash)| hash.to_vec())),
        array(entries.iter().map(|entry| entry.target.map_or(0, |seq| seq.0))),
        array(topics.iter().map(|topic| topic.key)),
        array(topics.iter().map(|topic| topic.last_seq.0)),
        array(topics.iter().map(|topic| topic.last_at.0)),
        array(marks.keys().map(|(user, _)| user.as_str().to_owned())),
        array(marks.keys().map(|(_, topic)| *topic)),
        array(marks.values().map(|seq| seq.0)),
    ];
    dialect::exec(tx, sql, values).await.map(drop)
}

/// PostgreSQL's array of these.
fn array<T: ValueType + Into<Value>>(values: impl Iterator<Item = T>) -> Value {
    Value::Array(T::array_type(), Some(Box::new(values.map(Into::into).collect())))
}
