//! The columns of an entry: as they are read, and as they are inserted.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::{Code, Content, Message, MessageId, Millis, Seq, TopicId};
use crate::store::error::StoreError;
use crate::store::pool::Row;
use crate::store::{dialect, users};

/// The columns that [`message`] reads.
pub(in crate::store) const COLUMNS: &str = "id, seq, code, sender_id AS user_id, sender_name AS username, content, \
                                            created_at, edited_at, removed_at";

/// Inserts the columns that an entry has from the beginning.
pub(super) const INSERT_ENTRY: &str = "INSERT INTO message (topic_id, seq, id, code, sender_id, sender_name, content, \
                                       created_at, idempotency_key, body_hash, target)";

/// Reads an entry of `topic`.
pub(in crate::store) fn message(row: &Row, topic: &TopicId) -> Result<Message, StoreError> {
    let content: Option<String> = dialect::get(row, "content")?;
    let content = content.map_or_else(
        || Ok(RawValue::NULL.to_owned()),
        |text| Content::stored(text).ok_or(StoreError::Corrupt("content")),
    )?;
    let time = |column| dialect::get::<Option<i64>>(row, column).map(|time| time.map(Millis));
    Ok(Message {
        id: MessageId(dialect::get::<Uuid>(row, "id")?),
        topic: topic.clone(),
        seq: Seq(dialect::get(row, "seq")?),
        code: Code(dialect::get(row, "code")?),
        sender: users::user(row)?,
        content,
        created_at: Millis(dialect::get(row, "created_at")?),
        edited_at: time("edited_at")?,
        removed_at: time("removed_at")?,
    })
}
