//! The log: appending a batch in one transaction, changing what was said, and reading it.

mod append;
mod changes;
mod lone;
mod rows;
mod senders;
mod sqlite;

use sea_orm::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use append::{AppendError, Draft, DraftError, StoredMessage};
pub use changes::{ChangeRefused, Changed, Target};
pub(super) use rows::{Announcement, announce};

use super::pool::Row;
use super::{Store, StoreError, TopicKey, TopicRow, dialect, users};
use crate::model::cursor::Direction;
use crate::model::{Code, Content, Message, MessageId, Millis, Seq, TopicId};

/// Of an entry, as [`message`] reads it.
pub(super) const COLUMNS: &str = "id, seq, code, sender_id AS user_id, sender_name AS username, content, created_at, edited_at, \
                       removed_at";

/// A stretch of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogRange {
    /// Which way it is read.
    pub direction: Direction,
    /// Where it starts, inclusive.
    pub from: Seq,
    /// Whether edits and removals are among the entries.
    pub changes: bool,
}

impl LogRange {
    /// What its entries fulfil, `$1` being the topic and `$2` where it starts; and their order.
    fn sql(self) -> String {
        let (compare, order) = match self.direction {
            Direction::Backward => ("<=", "DESC"),
            Direction::Forward => (">=", "ASC"),
        };
        let shown = if self.changes { "" } else { " AND target IS NULL" };
        format!("topic_id = $1 AND seq {compare} $2{shown} ORDER BY seq {order}")
    }
}

impl Store {
    /// The first `limit` entries of a stretch.
    pub async fn history(&self, topic: &TopicRow, stretch: LogRange, limit: u64) -> Result<Vec<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE {} LIMIT $3", stretch.sql());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.page(&topic.id, sql, vec![topic.key.into(), stretch.from.0.into(), limit.into()]).await
    }

    /// The entries from `first` to `last`, both inclusive, oldest first; what is missing among them was pruned.
    pub async fn entries(
        &self,
        key: TopicKey,
        topic: &TopicId,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE topic_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq");
        self.page(topic, sql, vec![key.into(), first.0.into(), last.0.into()]).await
    }

    /// Those of the entries from `first` to `last` that were edited behind `end`.
    pub async fn edited_after(
        &self,
        key: TopicKey,
        end: Seq,
        (first, last): (Seq, Seq),
    ) -> Result<Vec<Seq>, StoreError> {
        let sql = "SELECT DISTINCT target FROM message \
                   WHERE topic_id = $1 AND target >= $2 AND target <= $3 AND seq > $4 AND code = $5";
        let values = vec![key.into(), first.0.into(), last.0.into(), end.0.into(), Code::EDIT.0.into()];
        dialect::rows(self.read(), sql, values).await?.iter().map(|row| dialect::get(row, "target").map(Seq)).collect()
    }

    /// One entry.
    pub async fn message(&self, topic: &TopicRow, id: MessageId) -> Result<Option<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE id = $1 AND topic_id = $2");
        Ok(self.page(&topic.id, sql, vec![id.0.into(), topic.key.into()]).await?.pop())
    }

    /// Whether one of the entries after `known`, up to `last`, is a removal.
    pub async fn has_removal(&self, key: TopicKey, known: Seq, last: Seq) -> Result<bool, StoreError> {
        let sql = "SELECT seq FROM message WHERE topic_id = $1 AND seq > $2 AND seq <= $3 AND code = $4 LIMIT 1";
        let values = vec![key.into(), known.0.into(), last.0.into(), Code::REMOVAL.0.into()];
        Ok(dialect::row(self.read(), sql, values).await?.is_some())
    }

    /// Whether a stretch holds any entry.
    pub async fn has_any(&self, topic: TopicKey, stretch: LogRange) -> Result<bool, StoreError> {
        let sql = format!("SELECT seq FROM message WHERE {} LIMIT 1", stretch.sql());
        Ok(dialect::row(self.read(), sql, vec![topic.into(), stretch.from.0.into()]).await?.is_some())
    }

    /// The oldest and the newest entry that a topic holds.
    pub(super) async fn ends(&self, topic: TopicKey) -> Result<(Option<Seq>, Option<Seq>), StoreError> {
        let end = async |order: &str| {
            let sql = format!("SELECT seq FROM message WHERE topic_id = $1 ORDER BY seq {order} LIMIT 1");
            let row = dialect::row(self.read(), sql, vec![topic.into()]).await?;
            row.map(|row| dialect::get(&row, "seq").map(Seq)).transpose()
        };
        Ok((end("ASC").await?, end("DESC").await?))
    }

    /// The first entry that was made at this time or later. Times never run backwards within a topic, so halving the
    /// log finds it, without an index on time that every send would have to feed.
    pub async fn first_since(&self, topic: TopicKey, time: Millis) -> Result<Option<Seq>, StoreError> {
        let (Some(oldest), Some(newest)) = self.ends(topic).await? else {
            return Ok(None);
        };
        let (mut low, mut high) = (oldest.0, newest.0 + 1);
        let sql = "SELECT seq, created_at FROM message WHERE topic_id = $1 AND seq >= $2 ORDER BY seq LIMIT 1";
        while low < high {
            let middle = i64::midpoint(low, high);
            let row = dialect::row(self.read(), sql, vec![topic.into(), middle.into()]).await?;
            match row {
                Some(row) if dialect::get::<i64>(&row, "created_at")? < time.0 => {
                    low = dialect::get::<i64>(&row, "seq")? + 1;
                }
                _ => high = middle,
            }
        }
        Ok((low <= newest.0).then_some(Seq(low)))
    }

    async fn page(&self, topic: &TopicId, sql: String, values: Vec<Value>) -> Result<Vec<Message>, StoreError> {
        let rows = dialect::rows(self.read(), sql, values).await?;
        rows.iter().map(|row| message(row, topic)).collect()
    }
}

pub(super) fn message(row: &Row, topic: &TopicId) -> Result<Message, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::Pools;

    #[tokio::test]
    async fn a_page_is_one_range_of_one_index() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let pools = Pools::connect(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display()), 2).await?;
        pools.migrate().await?;
        let store = Store::new(pools, Clock::default());
        for (direction, compare) in [(Direction::Backward, "seq<?"), (Direction::Forward, "seq>?")] {
            for changes in [false, true] {
                let stretch = LogRange { direction, from: Seq(5), changes };
                let sql = format!("EXPLAIN QUERY PLAN SELECT {COLUMNS} FROM message WHERE {} LIMIT $3", stretch.sql());
                let plan = dialect::rows(store.read(), sql, vec![1.into(), 5.into(), 100.into()]).await?;
                let plan =
                    plan.iter().map(|row| dialect::get::<String>(row, "detail")).collect::<Result<Vec<_>, _>>()?;
                let range = format!("SEARCH message USING PRIMARY KEY (topic_id=? AND {compare})");
                assert_eq!(plan, [range], "and nothing is sorted");
            }
        }
        Ok(())
    }
}
