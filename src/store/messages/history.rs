//! Reading the log: pages of history, single entries, and searches by time.
//!
//! Raw SQL, because each statement is written for the primary key of its table: a page is one range of it, which a test
//! checks, and the streams read thousands of rows by these statements.

use sea_orm::Value;

use super::columns::{COLUMNS, message};
use crate::model::cursor::Direction;
use crate::model::{Code, Message, MessageId, Millis, Seq, TopicId};
use crate::store::{Store, StoreError, TopicKey, TopicRow, dialect};

/// The entries of a log on one side of a seq.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRange {
    /// The order in which the entries are read.
    pub direction: Direction,
    /// The seq at which the range starts, inclusive.
    pub from: Seq,
    /// True if edits and removals are among the entries.
    pub changes: bool,
}

impl LogRange {
    /// The condition of its entries, with the topic as `$1` and the start as `$2`, and their order.
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
    /// Returns the first `limit` entries of a range.
    ///
    /// # Errors
    /// Fails if the database does, or if a row is not a message.
    pub(crate) async fn history(
        &self,
        topic: &TopicRow,
        range: LogRange,
        limit: u64,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE {} LIMIT $3", range.sql());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.page(&topic.id, sql, vec![topic.key.into(), range.from.0.into(), limit.into()]).await
    }

    /// Returns the entries from `first` to `last`, both inclusive, oldest first. Entries that are missing were pruned.
    ///
    /// # Errors
    /// Fails if the database does, or if a row is not a message.
    pub(crate) async fn entries(
        &self,
        key: TopicKey,
        topic: &TopicId,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE topic_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq");
        self.page(topic, sql, vec![key.into(), first.0.into(), last.0.into()]).await
    }

    /// Returns the entries from `first` to `last` that were edited by entries after `end`.
    ///
    /// # Errors
    /// Fails if the database does.
    pub(crate) async fn edited_after(
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

    /// Returns an entry of a topic.
    ///
    /// # Errors
    /// Fails if the database does, or if a row is not a message.
    pub(crate) async fn message(&self, topic: &TopicRow, id: MessageId) -> Result<Option<Message>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE id = $1 AND topic_id = $2");
        Ok(self.page(&topic.id, sql, vec![id.0.into(), topic.key.into()]).await?.pop())
    }

    /// Reports whether one of the entries after `known`, up to `last`, is a removal.
    ///
    /// # Errors
    /// Fails if the database does.
    pub(crate) async fn has_removal(&self, key: TopicKey, known: Seq, last: Seq) -> Result<bool, StoreError> {
        let sql = "SELECT seq FROM message WHERE topic_id = $1 AND seq > $2 AND seq <= $3 AND code = $4 LIMIT 1";
        let values = vec![key.into(), known.0.into(), last.0.into(), Code::REMOVAL.0.into()];
        Ok(dialect::row(self.read(), sql, values).await?.is_some())
    }

    /// Reports whether a range holds any entry.
    ///
    /// # Errors
    /// Fails if the database does.
    pub(crate) async fn has_any(&self, topic: TopicKey, range: LogRange) -> Result<bool, StoreError> {
        let sql = format!("SELECT seq FROM message WHERE {} LIMIT 1", range.sql());
        Ok(dialect::row(self.read(), sql, vec![topic.into(), range.from.0.into()]).await?.is_some())
    }

    /// Returns the oldest and the newest entry that a topic holds.
    ///
    /// # Errors
    /// Fails if the database does.
    pub(in crate::store) async fn ends(&self, topic: TopicKey) -> Result<(Option<Seq>, Option<Seq>), StoreError> {
        let end = async |order: &str| {
            let sql = format!("SELECT seq FROM message WHERE topic_id = $1 ORDER BY seq {order} LIMIT 1");
            let row = dialect::row(self.read(), sql, vec![topic.into()]).await?;
            row.map(|row| dialect::get(&row, "seq").map(Seq)).transpose()
        };
        Ok((end("ASC").await?, end("DESC").await?))
    }

    /// Returns the first entry that was made at this time or later. Times never decrease within a topic, so a binary
    /// search of the log finds it, without an index on time that every send would have to update.
    ///
    /// # Errors
    /// Fails if the database does.
    pub(crate) async fn first_since(&self, topic: TopicKey, time: Millis) -> Result<Option<Seq>, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::testing::TestStore;

    #[tokio::test]
    async fn a_page_is_one_range_of_one_index() -> Result<(), Box<dyn std::error::Error>> {
        let store = TestStore::new(Clock::default()).await?;
        for (direction, compare) in [(Direction::Backward, "seq<?"), (Direction::Forward, "seq>?")] {
            for changes in [false, true] {
                let range = LogRange { direction, from: Seq(5), changes };
                let sql = format!("EXPLAIN QUERY PLAN SELECT {COLUMNS} FROM message WHERE {} LIMIT $3", range.sql());
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
