//! The senders of a batch: their sessions, locked until the batch is stored.
//!
//! After a sign-out or a leave has been acknowledged, nothing of that session is stored. So topics and sessions are locked
//! first, and the joins of a session are read by a later statement, because a lock may have waited for a change that its own
//! statement does not see. On PostgreSQL, where a statement is a round trip, the same statement reads them all the same:
//! every change of a session's joins increments a count in its row, and a locked row is the latest. Where the two counts
//! differ, the joins are read again. On SQLite, a transaction that writes has locked everything. The statements are raw,
//! because locks in a fixed order, common table expressions and the number of round trips are the point of them.

use std::collections::{BTreeSet, HashMap, hash_map};

use sea_orm::Value;
use uuid::Uuid;

use super::sqlite;
use super::types::{Sender, Senders, Topics, Wanted};
use crate::model::{Millis, TopicId};
use crate::store::pool::{Row, Transaction};
use crate::store::topics::{self, TOPIC};
use crate::store::{StoreError, TopicKey, dialect, users};

/// The columns of a sender. A list of topics follows [`FROM`].
const COLUMNS: &str =
    "s.id AS session, s.joins_version, s.user_id, u.username, i.lease_until, s.online_until, j.topic_id";
const FROM: &str = "FROM session s JOIN \"user\" u ON u.id = s.user_id LEFT JOIN instance i ON i.id = s.instance_id \
                    LEFT JOIN joined j ON j.session_id = s.id AND j.ended IS NULL AND j.topic_id";

/// Locks topics and then sessions, each in order, as every transaction that locks several does. Returns the topics that
/// exist and the sessions that are valid.
pub(super) async fn lock(tx: &Transaction, wanted: &Wanted<'_>, now: Millis) -> Result<(Topics, Senders), StoreError> {
    if let Transaction::Sqlite(tx) = tx {
        return sqlite::read(tx.connection(), wanted, now);
    }
    let topics: BTreeSet<&TopicId> = wanted.iter().map(|&(_, topic)| topic).collect();
    let sessions: BTreeSet<Uuid> = wanted.iter().map(|&(session, _)| session).collect();
    let (topics, held, senders) = lock_and_read(tx, topics, sessions, now).await?;
    match senders {
        Some(senders) => Ok((topics, senders)),
        None => {
            let senders = read(tx, &held, &topics, now).await?;
            Ok((topics, senders))
        }
    }
}

/// Returns the topics, the valid sessions that were locked, and their senders; `None` for the senders if something had
/// changed while the statement waited for a lock.
async fn lock_and_read(
    tx: &Transaction,
    topics: BTreeSet<&TopicId>,
    sessions: BTreeSet<Uuid>,
    now: Millis,
) -> Result<(Topics, Vec<Uuid>, Option<Senders>), StoreError> {
    let mut values: Vec<Value> = vec![now.0.into()];
    values.extend(dialect::filled(topics.iter().map(|id| id.as_str().into())));
    let names = dialect::places(2, values.len() - 1);
    let sessions = dialect::filled(sessions.into_iter().map(Value::from));
    let ids = dialect::places(values.len() + 1, sessions.len());
    values.extend(sessions);
    // PostgreSQL reads the parts one after the other, each to its end.
    let sql = format!(
        "WITH locked AS MATERIALIZED ({TOPIC} WHERE name IN ({names}) ORDER BY id FOR UPDATE), \
         held AS MATERIALIZED (SELECT id, joins_version, ended_at, expires_at FROM session WHERE id IN ({ids}) \
         ORDER BY id FOR SHARE) \
         SELECT 0 AS part, id, name, last_seq, last_at, created_at, NULL AS session, NULL AS joins_version, NULL AS user_id, \
         NULL AS username, CAST(NULL AS BIGINT) AS lease_until, CAST(NULL AS BIGINT) AS online_until, \
         CAST(NULL AS BIGINT) AS topic_id FROM locked \
         UNION ALL SELECT 1, NULL, NULL, NULL, NULL, NULL, id, joins_version, NULL, NULL, NULL, NULL, NULL FROM held \
         WHERE ended_at IS NULL AND expires_at > $1 \
         UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, {COLUMNS} {FROM} \
         IN (SELECT id FROM topic WHERE name IN ({names})) WHERE s.id IN ({ids})"
    );
    let mut found = Topics::new();
    let mut held = HashMap::new();
    let mut senders = Senders::new();
    let mut stale = false;
    for row in dialect::rows(tx, sql, values).await? {
        match dialect::get::<i32>(&row, "part")? {
            0 => {
                let topic = topics::topic(&row)?;
                found.insert(topic.id.clone(), topic);
            }
            1 => {
                held.insert(dialect::get::<Uuid>(&row, "session")?, dialect::get::<i64>(&row, "joins_version")?);
            }
            _ => match held.get(&dialect::get::<Uuid>(&row, "session")?) {
                Some(joins) if *joins == dialect::get::<i64>(&row, "joins_version")? => add(&mut senders, &row, now)?,
                Some(_) => stale = true,
                None => {} // ended
            },
        }
    }
    stale |= held.len() != senders.len();
    Ok((found, held.into_keys().collect(), (!stale).then_some(senders)))
}

/// Reads the senders that are valid.
async fn read(tx: &Transaction, sessions: &[Uuid], topics: &Topics, now: Millis) -> Result<Senders, StoreError> {
    // No topic has the key 0, and no session the id 0: the lists must not be empty.
    let keys = dialect::filled([0].into_iter().chain(topics.values().map(|topic| topic.key)).map(Value::from));
    let sessions = dialect::filled([Uuid::nil()].iter().chain(sessions).map(|&id| id.into()));
    let sql = format!(
        "SELECT {COLUMNS} {FROM} IN ({}) WHERE s.ended_at IS NULL AND s.expires_at > $1 AND s.id IN ({})",
        dialect::places(2, keys.len()),
        dialect::places(2 + keys.len(), sessions.len()),
    );
    let mut values: Vec<Value> = vec![now.0.into()];
    values.extend(keys);
    values.extend(sessions);
    let mut senders = Senders::new();
    for row in dialect::rows(tx, sql, values).await? {
        add(&mut senders, &row, now)?;
    }
    Ok(senders)
}

/// Adds a row to its sender: a session has one for each topic that it has joined, and at least one.
fn add(senders: &mut Senders, row: &Row, now: Millis) -> Result<(), StoreError> {
    let sender = match senders.entry(dialect::get(row, "session")?) {
        hash_map::Entry::Occupied(known) => known.into_mut(),
        hash_map::Entry::Vacant(new) => new.insert(Sender {
            user: users::user(row)?,
            streaming: dialect::get::<Option<i64>>(row, "lease_until")?.is_some_and(|until| until > now.0),
            online_until: Millis(dialect::get(row, "online_until")?),
            joined: Vec::new(),
        }),
    };
    sender.joined.extend(dialect::get::<Option<TopicKey>>(row, "topic_id")?);
    Ok(())
}
