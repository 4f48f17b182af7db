//! Appending a batch of drafts: lock the topics and the senders, check, number, insert.
//!
//! Raw SQL, because this is the hot path: a few statements for a whole batch, whatever its size, and rows without entities
//! in between.

use std::collections::HashMap;

use sea_orm::Value;

use super::columns::{COLUMNS, message};
use super::draft::{Draft, DraftError};
use super::insert::{insert, with_next_seq};
use super::senders;
use super::single_row::{self, SingleRowError};
use super::types::{AppendedDrafts, BatchError, NewEntry, Senders, StoredMessage, Topics};
use crate::model::group::Standing;
use crate::model::{Code, Message, MessageId, Millis, TopicId};
use crate::store::durability::Durability;
use crate::store::pool::{Client, Transaction};
use crate::store::{StoreError, TopicKey, TopicRow, dialect, topics};

/// For how long a repeated idempotency key is recognised: 24 hours, in milliseconds.
const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// An idempotency key with its topic and its user.
type KeyOf<'a> = (TopicKey, &'a str, &'a str);

/// Appends drafts to their logs, in their order, in a transaction of their own. A draft that may not be stored gets its
/// reason and uses no seq.
pub(in crate::store) async fn append_alone(
    client: &Client,
    drafts: &[Draft],
    now: Millis,
) -> Result<AppendedDrafts, BatchError> {
    if let [draft] = drafts
        && let Some(stored) = append_single_row(client, draft, now).await?
    {
        return Ok(vec![Ok(stored)]);
    }
    let transaction = client.begin(Durability::Full).await?;
    let appended = append(&transaction, drafts, now).await?;
    transaction.commit().await.map_err(BatchError::Unknown)?;
    Ok(appended)
}

/// Appends a draft by the fast path, if it applies. Where the answer was lost, the log itself is read: the connection may
/// have been cut long before, and then the statement was never sent.
async fn append_single_row(client: &Client, draft: &Draft, now: Millis) -> Result<Option<StoredMessage>, BatchError> {
    match single_row::append(client, draft, now).await {
        Ok(stored) => Ok(Some(stored)),
        Err(SingleRowError::NotApplicable) => Ok(None),
        Err(SingleRowError::Failed(error)) => Err(error.into()),
        Err(SingleRowError::Unknown(error)) => match which_stored(client, std::slice::from_ref(draft)).await {
            Ok(mut stored) => Ok(stored.remove(&draft.id)),
            Err(_) => Err(BatchError::Unknown(error)),
        },
    }
}

/// Returns those of these messages that the log holds, after a COMMIT whose answer was lost.
pub(in crate::store) async fn which_stored(
    client: &Client,
    drafts: &[Draft],
) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
    let transaction = client.begin(Durability::Full).await?;
    let stored = find_stored(&transaction, drafts).await?;
    transaction.rollback().await?;
    Ok(stored)
}

async fn find_stored(tx: &Transaction, drafts: &[Draft]) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
    let ids: Vec<&TopicId> = drafts.iter().map(|draft| &draft.topic).collect();
    // This waits for the locks of the topics: after that, the lost transaction has ended, one way or the other.
    let topics = topics::lock_all(tx, &ids).await?;
    let sql = format!("SELECT topic_id, {COLUMNS} FROM message WHERE id IN ({})", dialect::places(1, drafts.len()));
    let rows = dialect::rows(tx, sql, drafts.iter().map(|d| d.id.0.into()).collect()).await?;
    let mut stored = HashMap::new();
    for row in &rows {
        let key: TopicKey = dialect::get(row, "topic_id")?;
        let topic = topics.iter().find(|t| t.key == key).ok_or(StoreError::Corrupt("topic of a message"))?;
        let message = message(row, &topic.id)?;
        stored.insert(message.id, StoredMessage { key, message, fresh: true, online_until: None });
    }
    Ok(stored)
}

/// Appends drafts to their logs, in their order, as a part of a transaction.
pub(in crate::store) async fn append(
    tx: &Transaction,
    drafts: &[Draft],
    now: Millis,
) -> Result<AppendedDrafts, StoreError> {
    let wanted = drafts.iter().map(|draft| (draft.session.0, &draft.topic)).collect();
    let (mut topics, senders) = senders::lock(tx, &wanted, now).await?;
    let mut used = used_keys(tx, drafts, &topics, now).await?;

    let mut done: AppendedDrafts = Vec::with_capacity(drafts.len());
    for draft in drafts {
        done.push(number(draft, &mut topics, &senders, &mut used, now));
    }
    let grew = |topic: &&TopicRow| done.iter().flatten().any(|stored| stored.fresh && stored.key == topic.key);
    let grown: Vec<&TopicRow> = topics.values().filter(grew).collect();
    // A sender has read everything before their message. The numbers of a topic ascend, so the last one stays.
    let fresh = done.iter().flatten().filter(|stored| stored.fresh);
    let marks = fresh.map(|stored| ((&stored.message.sender.user_id, stored.key), stored.message.seq));
    insert(tx, &new_entries(drafts, &done), &grown, &marks.collect()).await?;
    Ok(done)
}

/// Gives a draft its seq, or returns the reason why it may not have one.
fn number<'a>(
    draft: &'a Draft,
    topics: &mut Topics,
    senders: &'a Senders,
    used: &mut HashMap<(TopicKey, String, String), (Message, Vec<u8>)>,
    now: Millis,
) -> Result<StoredMessage, DraftError> {
    let sender = senders.get(&draft.session.0).ok_or(DraftError::SessionEnded)?;
    let topic = topics.get_mut(&draft.topic).ok_or(DraftError::NotJoined)?;
    let online_until = (!sender.streaming).then_some(sender.online_until);
    let key =
        draft.key.as_ref().map(|(key, hash)| ((topic.key, sender.user.user_id.as_str().to_owned(), key.clone()), hash));
    if let Some((key, hash)) = &key
        && let Some((message, first_hash)) = used.get(key)
    {
        let same = first_hash.as_slice() == hash.as_slice();
        let stored = StoredMessage { key: topic.key, message: message.clone(), fresh: false, online_until };
        return if same { Ok(stored) } else { Err(DraftError::KeyReused) };
    }
    // After the repeats: a sender that has lost the answer, and the join since, still gets the message that was stored.
    if !sender.joined.contains(&topic.key) {
        return Err(DraftError::NotJoined);
    }
    let content = draft.content.clone().into_raw();
    let message = with_next_seq(topic, draft.id, Code::CHAT, sender.user.clone(), content, now);
    if let Some((key, hash)) = key {
        used.insert(key, (message.clone(), hash.to_vec()));
    }
    Ok(StoredMessage { key: topic.key, message, fresh: true, online_until })
}

fn new_entries<'a>(drafts: &'a [Draft], done: &'a [Result<StoredMessage, DraftError>]) -> Vec<NewEntry<'a>> {
    let row = |(draft, done): (&'a Draft, &'a Result<StoredMessage, DraftError>)| {
        let stored = done.as_ref().ok().filter(|stored| stored.fresh)?;
        let key = draft.key.as_ref().map(|(key, hash)| (key.as_str(), hash.as_slice()));
        Some(NewEntry { topic: stored.key, message: &stored.message, key, target: None })
    };
    drafts.iter().zip(done).filter_map(row).collect()
}

/// Returns the messages that were stored earlier with keys of this batch. Keys older than a day are removed from their
/// messages.
async fn used_keys(
    tx: &Transaction,
    drafts: &[Draft],
    topics: &Topics,
    now: Millis,
) -> Result<HashMap<(TopicKey, String, String), (Message, Vec<u8>)>, StoreError> {
    let mut used = HashMap::new();
    let mut wanted: Vec<(&TopicRow, &str)> =
        drafts.iter().filter_map(|draft| Some((topics.get(&draft.topic)?, draft.key.as_ref()?.0.as_str()))).collect();
    wanted.sort_unstable_by_key(|(topic, key)| (topic.key, *key));
    wanted.dedup_by_key(|(topic, key)| (topic.key, *key));
    for (topic, key) in wanted {
        let mut sql = format!(
            "SELECT {COLUMNS}, body_hash FROM message WHERE topic_id = $1 AND idempotency_key = $2 \
             AND sender_id IN (SELECT s.user_id FROM session s WHERE s.id IN ({}))",
            dialect::places(3, drafts.len())
        );
        let mut values: Vec<Value> = vec![topic.key.into(), key.into()];
        values.extend(drafts.iter().map(|draft| Value::from(draft.session.0)));
        if let Some(group) = topic.id.group_id() {
            // For users who have lost the group, their own messages in it do not exist either.
            let n = values.len();
            let of = format!(
                " AND sender_id IN (SELECT user_id FROM group_member WHERE group_id = ${} AND standing <= ${})",
                n + 1,
                n + 2
            );
            sql.push_str(&of);
            values.extend([Value::from(group.0), Standing::Member.stored().into()]);
        }
        for row in dialect::rows(tx, sql, values).await? {
            let message = message(&row, &topic.id)?;
            if message.created_at.0 < now.0 - KEY_LIFE_MS {
                let sql =
                    "UPDATE message SET idempotency_key = NULL, body_hash = NULL WHERE topic_id = $1 AND seq = $2";
                dialect::exec(tx, sql, vec![topic.key.into(), message.seq.0.into()]).await?;
                continue;
            }
            let hash: Option<Vec<u8>> = dialect::get(&row, "body_hash")?;
            let key: KeyOf<'_> = (topic.key, message.sender.user_id.as_str(), key);
            used.insert((key.0, key.1.to_owned(), key.2.to_owned()), (message, hash.unwrap_or_default()));
        }
    }
    Ok(used)
}
