//! Appending: lock the topics and the senders, check, number, write.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::Value;

use super::lone::{self, Lone};
use super::senders::{self, Senders, Topics};
use super::{COLUMNS, message, rows};
use crate::model::group::Standing;
use crate::model::{Code, Content, Message, MessageId, Millis, SessionId, TopicId};
use crate::store::pool::{Client, Transaction};
use crate::store::{Store, StoreError, TopicKey, TopicRow, dialect, topics};

/// How long a repeated idempotency key is known: 24 hours.
const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// A message that has no number yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its id.
    pub id: MessageId,
    /// Where it shall go.
    pub topic: TopicId,
    /// Who sends it.
    pub session: SessionId,
    /// What it says.
    pub content: Content,
    /// The idempotency key and the hash of what was sent under it.
    pub key: Option<(String, [u8; 32])>,
}

/// Why a draft was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftError {
    /// The session lives no more.
    SessionEnded,
    /// The session has not joined the topic.
    NotJoined,
    /// The key has been used with another body.
    KeyReused,
}

/// Why a batch failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of it was stored.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The COMMIT was not answered: [`Store::which_stored`] tells what was stored.
    #[error("a commit was not answered: {0}")]
    Unknown(#[source] StoreError),
}

/// A message that the log holds.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Where.
    pub key: TopicKey,
    /// What.
    pub message: Message,
    /// Whether this batch stored it; otherwise an earlier one did, under the same idempotency key.
    pub fresh: bool,
    /// Until when its sender is online without a stream; `None` while a stream of theirs is open.
    pub online_until: Option<Millis>,
}

/// What an idempotency key belongs to.
type KeyOf<'a> = (TopicKey, &'a str, &'a str);

impl Store {
    /// Appends drafts to their logs, in their order, in one transaction. A draft that may not be stored is answered with
    /// its reason and burns no number.
    pub async fn append(&self, drafts: &Arc<[Draft]>) -> Result<Vec<Result<StoredMessage, DraftError>>, AppendError> {
        let (drafts, now) = (drafts.clone(), self.now());
        let work = move |client: Client| -> BoxFuture<'static, _> {
            Box::pin(async move {
                if let [draft] = &drafts[..]
                    && let Some(stored) = append_lone(&client, draft, now).await?
                {
                    return Ok(vec![Ok(stored)]);
                }
                let transaction = client.begin().await?;
                let done = append(&transaction, &drafts, now).await?;
                transaction.commit().await.map_err(AppendError::Unknown)?;
                Ok(done)
            })
        };
        self.inner.pools.write.work(work).await?
    }

    /// Those of these messages that the log holds, after a COMMIT whose answer was lost.
    pub async fn which_stored(&self, drafts: &Arc<[Draft]>) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
        let drafts = drafts.clone();
        let work =
            move |client: Client| -> BoxFuture<'static, _> { Box::pin(async move { look_up(&client, &drafts).await }) };
        self.inner.pools.write.work(work).await?
    }
}

/// Appends a draft by one statement, where that can be done. Where its answer was lost, the log itself tells: a connection
/// may have been cut long before, and then nothing was asked.
async fn append_lone(client: &Client, draft: &Draft, now: Millis) -> Result<Option<StoredMessage>, AppendError> {
    match lone::append(client, draft, now).await {
        Ok(stored) => Ok(Some(stored)),
        Err(Lone::Plain) => Ok(None),
        Err(Lone::Refused(error)) => Err(error.into()),
        Err(Lone::Unknown(error)) => match look_up(client, std::slice::from_ref(draft)).await {
            Ok(mut stored) => Ok(stored.remove(&draft.id)),
            Err(_) => Err(AppendError::Unknown(error)),
        },
    }
}

async fn look_up(client: &Client, drafts: &[Draft]) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
    let transaction = client.begin().await?;
    let stored = which_stored(&transaction, drafts).await?;
    transaction.rollback().await?;
    Ok(stored)
}

async fn which_stored(tx: &Transaction, drafts: &[Draft]) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
    let ids: Vec<&TopicId> = drafts.iter().map(|draft| &draft.topic).collect();
    // Waits for whoever still holds the topics: after that the lost transaction has ended, one way or the other.
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

async fn append(
    tx: &Transaction,
    drafts: &[Draft],
    now: Millis,
) -> Result<Vec<Result<StoredMessage, DraftError>>, StoreError> {
    let wanted = drafts.iter().map(|draft| (draft.session.0, &draft.topic)).collect();
    let (mut topics, senders) = senders::lock(tx, &wanted, now).await?;
    let mut used = used_keys(tx, drafts, &topics, now).await?;

    let mut done: Vec<Result<StoredMessage, DraftError>> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        done.push(number(draft, &mut topics, &senders, &mut used, now));
    }
    let grew = |topic: &&TopicRow| done.iter().flatten().any(|stored| stored.fresh && stored.key == topic.key);
    let grown: Vec<&TopicRow> = topics.values().filter(grew).collect();
    // Who sends has read what stands before. The numbers of a topic ascend, so the last one stays.
    let fresh = done.iter().flatten().filter(|stored| stored.fresh);
    let marks = fresh.map(|stored| ((&stored.message.sender.user_id, stored.key), stored.message.seq));
    rows::write(tx, &fresh_rows(drafts, &done), &grown, &marks.collect()).await?;
    Ok(done)
}

/// Gives a draft its place in the log, or says why not.
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
    // After the repeats: who has lost the answer, and the session with it, still learns what became of the message.
    if !sender.joined.contains(&topic.key) {
        return Err(DraftError::NotJoined);
    }
    let content = draft.content.clone().into_raw();
    let message = rows::number(topic, draft.id, Code::CHAT, sender.user.clone(), content, now);
    if let Some((key, hash)) = key {
        used.insert(key, (message.clone(), hash.to_vec()));
    }
    Ok(StoredMessage { key: topic.key, message, fresh: true, online_until })
}

fn fresh_rows<'a>(drafts: &'a [Draft], done: &'a [Result<StoredMessage, DraftError>]) -> Vec<rows::Row<'a>> {
    let row = |(draft, done): (&'a Draft, &'a Result<StoredMessage, DraftError>)| {
        let stored = done.as_ref().ok().filter(|stored| stored.fresh)?;
        let key = draft.key.as_ref().map(|(key, hash)| (key.as_str(), hash.as_slice()));
        Some(rows::Row { topic: stored.key, message: &stored.message, key, target: None })
    };
    drafts.iter().zip(done).filter_map(row).collect()
}

/// Messages stored earlier under keys of this batch. Keys older than a day are taken off their messages.
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
            // To those who have lost the group, what they said there does not exist either.
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
