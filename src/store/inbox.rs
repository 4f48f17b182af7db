//! The inbox: the groups and the direct messages of a user, latest first.

use std::collections::HashMap;

use parlour_entity::{dm, topic as entity, user};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, QueryTrait as _};

use super::messages::{COLUMNS, message};
use super::pool::Row;
use super::{ReadMark, Store, StoreError, TopicKey, dialect, users};
use crate::model::{Message, Millis, Seq, TopicId, User, UserId};

/// A topic in a user's inbox.
#[derive(Clone, Debug)]
pub(crate) struct InboxTopic {
    /// The short key.
    pub key: TopicKey,
    /// The id.
    pub id: TopicId,
    /// The time of the newest entry; of a group without entries, the time of its creation.
    pub last_at: Millis,
    /// The seq of the newest entry, and of the last one that the user has read.
    pub mark: ReadMark,
    /// The newest entry that history shows, as it is now; `None` if there is none or all were pruned.
    pub last_message: Option<Message>,
    /// The name of a group.
    pub name: Option<String>,
    /// The other user of a direct message.
    pub other: Option<User>,
}

/// A direct message with a recent entry.
#[derive(Clone, Debug)]
pub(crate) struct RecentDm {
    /// The short key.
    pub key: TopicKey,
    /// The id.
    pub topic: TopicId,
    /// The seq of the newest entry.
    pub last_seq: Seq,
    /// The time of the newest entry.
    pub last_at: Millis,
}

impl Store {
    /// Returns the direct messages of these users with entries from this time on.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn recent_dms(&self, users: &[UserId], since: Millis) -> Result<Vec<RecentDm>, StoreError> {
        let of_users = dm::Entity::find()
            .select_only()
            .column(dm::Column::TopicId)
            .filter(dm::Column::UserId.is_in(dialect::filled(users.iter().map(UserId::as_str))))
            .into_query();
        let found = entity::Entity::find()
            .filter(entity::Column::Id.in_subquery(of_users))
            .filter(entity::Column::LastAt.gte(since.0))
            .filter(entity::Column::LastSeq.gt(0))
            .all(self.read())
            .await?;
        let recent = |topic: entity::Model| RecentDm {
            key: topic.id,
            topic: TopicId::stored(&topic.name),
            last_seq: Seq(topic.last_seq),
            last_at: Millis(topic.last_at),
        };
        Ok(found.into_iter().map(recent).collect())
    }

    /// Returns the first `limit` topics of a user's inbox, latest first, after this time and key.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn inbox(
        &self,
        user: &UserId,
        after: Option<(Millis, TopicKey)>,
        limit: usize,
    ) -> Result<Vec<InboxTopic>, StoreError> {
        let (at, key) = after.unwrap_or((Millis(i64::MAX), TopicKey::MAX));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![user.as_str().into(), at.0.into(), key.into(), limit.into()];
        let rows = dialect::rows(self.read(), sql(), values).await?;
        let mut topics = rows.iter().map(topic).collect::<Result<Vec<_>, _>>()?;
        let others: Vec<Option<UserId>> = topics.iter().map(|topic| other(&topic.id, user)).collect();
        let known = self.known(others.iter().flatten().collect()).await?;
        for (topic, other) in topics.iter_mut().zip(others) {
            topic.other = other.and_then(|id| known.get(id.as_str()).cloned());
        }
        Ok(topics)
    }

    /// Returns these users with their current names.
    async fn known(&self, ids: Vec<&UserId>) -> Result<HashMap<String, User>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = dialect::filled(ids.into_iter().map(UserId::as_str));
        let found = user::Entity::find().filter(user::Column::Id.is_in(ids)).all(self.read()).await?;
        let known = |row: user::Model| users::named(&row.id, row.username).map(|user| (row.id, user));
        found.into_iter().map(known).collect()
    }
}

/// The inbox of user $1, after the time $2 and the key $3, at most $4 topics. Raw, as the statement is the point:
/// everything is found by keys, the times of the user's own topics one by one (for a join PostgreSQL would read those of
/// all users), the rest only for the topics on the page.
fn sql() -> String {
    format!(
        "WITH mine AS MATERIALIZED (\
         SELECT d.topic_id AS topic_key, CAST(NULL AS TEXT) AS group_name, \
         (SELECT t.last_at FROM topic t WHERE t.id = d.topic_id AND t.last_seq > 0) AS last_at \
         FROM dm d WHERE d.user_id = $1 \
         UNION ALL \
         SELECT g.topic_id, g.name, (SELECT t.last_at FROM topic t WHERE t.id = g.topic_id AND t.deleted_at IS NULL) \
         FROM group_member gm JOIN \"group\" g ON g.id = gm.group_id WHERE gm.user_id = $1 AND gm.standing <= 2\
         ), page AS (\
         SELECT topic_key, group_name, last_at FROM mine WHERE last_at < $2 OR (last_at = $2 AND topic_key < $3) \
         ORDER BY last_at DESC, topic_key DESC LIMIT $4\
         ) SELECT page.topic_key, page.group_name, page.last_at, named.topic_name, named.last_seq, \
         COALESCE((SELECT r.seq FROM read_mark r WHERE r.user_id = $1 AND r.topic_id = page.topic_key), 0) AS read_seq, \
         {COLUMNS} FROM page \
         JOIN (SELECT n.id AS named_key, n.name AS topic_name, n.last_seq FROM topic n) named \
         ON named.named_key = page.topic_key \
         LEFT JOIN message m ON m.topic_id = page.topic_key AND m.seq = (SELECT l.seq FROM message l \
         WHERE l.topic_id = page.topic_key AND l.target IS NULL ORDER BY l.seq DESC LIMIT 1) \
         ORDER BY page.last_at DESC, page.topic_key DESC"
    )
}

fn topic(row: &Row) -> Result<InboxTopic, StoreError> {
    let id = TopicId::stored(&dialect::get::<String>(row, "topic_name")?);
    let last_message = match dialect::get::<Option<i64>>(row, "seq")? {
        Some(_) => Some(message(row, &id)?),
        None => None,
    };
    Ok(InboxTopic {
        key: dialect::get(row, "topic_key")?,
        last_at: Millis(dialect::get(row, "last_at")?),
        mark: ReadMark { last_seq: Seq(dialect::get(row, "last_seq")?), read_seq: Seq(dialect::get(row, "read_seq")?) },
        last_message,
        name: dialect::get(row, "group_name")?,
        other: None,
        id,
    })
}

/// The other user of a direct message.
fn other(topic: &TopicId, user: &UserId) -> Option<UserId> {
    topic.dm_users().map(|(one, other)| if one == *user { other } else { one })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::store::testing::TestStore;

    /// However long the logs and the lists of others are.
    #[tokio::test]
    async fn a_page_is_read_by_keys_alone() -> Result<(), Box<dyn std::error::Error>> {
        let store = TestStore::new(Clock::default()).await?;
        let values = vec!["ana".into(), 0.into(), 0.into(), 50.into()];
        let plan = dialect::rows(store.read(), format!("EXPLAIN QUERY PLAN {}", sql()), values).await?;
        let plan = plan.iter().map(|row| dialect::get::<String>(row, "detail")).collect::<Result<Vec<_>, _>>()?;
        for table in ["d", "gm", "g", "t", "n", "m", "l", "r"] {
            let found: Vec<_> = plan.iter().filter(|step| step.split(' ').nth(1) == Some(table)).collect();
            assert!(!found.is_empty() && found.iter().all(|step| step.starts_with("SEARCH ")), "{table} in {plan:#?}");
        }
        Ok(())
    }
}
