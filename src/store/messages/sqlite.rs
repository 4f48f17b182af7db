//! A batch on SQLite.
//!
//! SQLite answers from memory, so the costs are those around a statement. Each statement is prepared once for the whole
//! batch, its values are bound as they are, and columns are read by their position: that needs raw SQL. A statement is run
//! for each row, because a text for several rows would be another one for each number of rows, and each would have to be
//! prepared.

use std::collections::hash_map;

use rusqlite::params;

use super::columns::INSERT_ENTRY;
use super::types::{Marks, NewEntry, Sender, Senders, Topics, Wanted};
use crate::model::{Millis, Seq, User, UserId};
use crate::store::sqlite::Connection;
use crate::store::{StoreError, TopicKey, TopicRow, dialect, read_marks};

/// A valid session, the topic that it sends to, if it exists, and whether the session has joined it.
const SENDER: &str = "SELECT s.user_id, u.username, i.lease_until, s.online_until, \
                      t.id, t.last_seq, t.last_at, t.created_at, j.topic_id IS NOT NULL \
                      FROM session s JOIN \"user\" u ON u.id = s.user_id LEFT JOIN instance i ON i.id = s.instance_id \
                      LEFT JOIN topic t ON t.name = ?1 \
                      LEFT JOIN joined j ON j.session_id = s.id AND j.topic_id = t.id AND j.ended IS NULL \
                      WHERE s.id = ?2 AND s.ended_at IS NULL AND s.expires_at > ?3";

/// Reads the topics that exist and the sessions that are valid.
pub(super) fn read(connection: &Connection, wanted: &Wanted<'_>, now: Millis) -> Result<(Topics, Senders), StoreError> {
    connection.with(|sqlite| {
        let mut topics = Topics::new();
        let mut senders = Senders::new();
        let mut statement = sqlite.prepare_cached(SENDER)?;
        for &(session, id) in wanted {
            let mut rows = statement.query(params![id.as_str(), session, now.0])?;
            let Some(row) = rows.next()? else { continue };
            let sender = match senders.entry(session) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(new) => new.insert(sender(row, now)?),
            };
            let Some(key) = row.get::<_, Option<TopicKey>>(4)? else { continue };
            if row.get(8)? {
                sender.joined.push(key);
            }
            let topic = TopicRow {
                key,
                id: id.clone(),
                last_seq: Seq(row.get(5)?),
                last_at: Millis(row.get(6)?),
                created_at: Millis(row.get(7)?),
            };
            topics.insert(id.clone(), topic);
        }
        Ok((topics, senders))
    })
}

fn sender(row: &rusqlite::Row<'_>, now: Millis) -> Result<Sender, StoreError> {
    let user_id = UserId::parse(row.get_ref(0)?.as_str().unwrap_or_default()).ok_or(StoreError::Corrupt("user id"))?;
    let user = User { user_id, username: row.get(1)? };
    let streaming = row.get::<_, Option<i64>>(2)?.is_some_and(|until| until > now.0);
    Ok(Sender { user, streaming, online_until: Millis(row.get(3)?), joined: Vec::new() })
}

/// Inserts entries, moves the ends of their topics, and moves the read marks of their senders.
pub(super) fn insert(
    connection: &Connection,
    entries: &[NewEntry<'_>],
    topics: &[&TopicRow],
    marks: &Marks<'_>,
) -> Result<(), StoreError> {
    connection.with(|sqlite| {
        let mut statement = sqlite.prepare_cached(&format!("{INSERT_ENTRY} VALUES ({})", dialect::places(1, 11)))?;
        for NewEntry { topic, message, key, target } in entries {
            let (key, hash) = key.unzip();
            statement.execute(params![
                topic,
                message.seq.0,
                message.id.0,
                message.code.0,
                message.sender.user_id.as_str(),
                message.sender.username,
                message.content.get(),
                message.created_at.0,
                key,
                hash,
                target.map(|seq| seq.0),
            ])?;
        }
        let mut statement = sqlite.prepare_cached("UPDATE topic SET last_seq = ?1, last_at = ?2 WHERE id = ?3")?;
        for topic in topics {
            statement.execute(params![topic.last_seq.0, topic.last_at.0, topic.key])?;
        }
        let mut statement = sqlite.prepare_cached(&read_marks::set())?;
        for ((user, topic), seq) in marks {
            statement.execute(params![user.as_str(), topic, seq.0])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::testing::TestStore;

    #[tokio::test]
    async fn a_sender_is_found_without_reading_through_any_table() -> Result<(), Box<dyn std::error::Error>> {
        let store = TestStore::new(Clock::default()).await?;
        let plan = dialect::rows(store.read(), format!("EXPLAIN QUERY PLAN {SENDER}"), vec![]).await?;
        let plan = plan.iter().map(|row| dialect::get::<String>(row, "detail")).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(plan.len(), 5, "{plan:?}");
        assert!(plan.iter().all(|step| step.starts_with("SEARCH") && !step.contains("AUTOMATIC")), "{plan:?}");
        Ok(())
    }
}
