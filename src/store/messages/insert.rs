//! Inserting entries that have their seq, together with the new ends of their topics.

use sea_orm::Value;
use sea_orm::sea_query::ValueType;
use serde_json::value::RawValue;

use super::columns::INSERT_ENTRY;
use super::sqlite;
use super::types::{Marks, NewEntry};
use crate::model::{Code, Message, MessageId, Millis, Seq, User};
use crate::store::pool::Transaction;
use crate::store::{StoreError, TopicRow, dialect, read_marks};

/// An entry that the service itself makes, without a seq.
#[derive(Clone, Debug)]
pub(in crate::store) struct Announcement {
    /// Its id.
    pub(in crate::store) id: MessageId,
    /// The kind of the entry.
    pub(in crate::store) code: Code,
    /// The user that it is about.
    pub(in crate::store) sender: User,
    /// The content.
    pub(in crate::store) content: Box<RawValue>,
    /// The seq of the entry that it edits or removes.
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
    let message = with_next_seq(topic, id, code, sender, content, now);
    let entry = NewEntry { topic: topic.key, message: &message, key: None, target };
    insert(tx, &[entry], &[topic], &Marks::new()).await?;
    Ok(message)
}

/// Makes a message with the next seq of its topic.
pub(super) fn with_next_seq(
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

/// Inserts entries, moves the ends of their topics, and moves the read marks of their senders.
pub(super) async fn insert(
    tx: &Transaction,
    entries: &[NewEntry<'_>],
    topics: &[&TopicRow],
    marks: &Marks<'_>,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    match tx {
        Transaction::Postgres(_) => insert_by_one_statement(tx, entries, topics, marks).await,
        Transaction::Sqlite(tx) => sqlite::insert(tx.connection(), entries, topics, marks),
    }
}

/// PostgreSQL is a network away, so everything goes in one raw statement over arrays: its text is the same for any number
/// of entries, and it is planned once. The arrays hold no nulls: an empty value or 0 stands for none.
async fn insert_by_one_statement(
    tx: &Transaction,
    entries: &[NewEntry<'_>],
    topics: &[&TopicRow],
    marks: &Marks<'_>,
) -> Result<(), StoreError> {
    let sql = format!(
        "WITH entry AS ({INSERT_ENTRY} \
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

/// An array of PostgreSQL.
fn array<T: ValueType + Into<Value>>(values: impl Iterator<Item = T>) -> Value {
    Value::Array(T::array_type(), Some(Box::new(values.map(Into::into).collect())))
}
