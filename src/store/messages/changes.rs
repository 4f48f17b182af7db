//! Edits and removals of messages. Each is an entry of the log, and changes the row of its message in the same transaction,
//! so that history and streams show the same.
//!
//! Raw SQL where the columns of a message are read or written, because they are those of the log (`columns`) and not of an
//! entity, and where a row is locked.

use serde_json::value::RawValue;

use super::columns::{COLUMNS, message};
use super::insert::{Announcement, announce};
use crate::model::group::MAY_MODERATE;
use crate::model::message::{Edit, Removal, to_raw};
use crate::model::{Code, Content, Message, MessageId, Millis, SessionId, TopicId, User, UserId};
use crate::store::durability::Durability;
use crate::store::pool::Transaction;
use crate::store::topics::{self, Lock};
use crate::store::{Store, StoreError, TopicKey, TopicRow, blocks, dialect, read_marks, standings, users};

/// A message to be edited or removed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The session that edits or removes it.
    pub session: SessionId,
    /// The topic of the message.
    pub topic: TopicId,
    /// The id of the message.
    pub message: MessageId,
}

/// A message that was edited or removed.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// The key of its topic.
    pub key: TopicKey,
    /// The message as it is now.
    pub message: Message,
    /// The entry of the edit or the removal; for a repeated removal, the entry of the first one.
    pub entry: Message,
}

/// Why a message was not edited or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeRefused {
    /// The session has ended or expired.
    SessionEnded,
    /// The user is no member of the group that the topic belongs to.
    NoTopic,
    /// The topic has no such message.
    NoMessage,
    /// It is an entry that the service itself has made.
    NotSent,
    /// An edit of another user's message.
    NotAuthor,
    /// A removal of another user's message, by a user who is no admin of the group.
    NotAuthorOrAdmin,
    /// An edit where one of two users blocks the other.
    Blocked,
    /// An edit of a message that has been removed.
    Removed,
}

/// The data that decides about an edit or a removal, all of it read under the topic's lock.
struct Found {
    topic: TopicRow,
    user: User,
    message: Message,
    /// True if the user may remove messages of others.
    admin: bool,
}

impl Found {
    fn is_author(&self) -> bool {
        self.message.sender.user_id == self.user.user_id
    }
}

impl Store {
    /// Edits a message of the session's user.
    ///
    /// # Errors
    /// Fails if the database does; a refusal is the inner error.
    pub(crate) async fn edit_message(
        &self,
        target: Target,
        content: Content,
    ) -> Result<Result<Changed, ChangeRefused>, StoreError> {
        let (id, now) = (MessageId(self.clock().uuid()), self.now());
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                match find(tx, &target, now).await? {
                    Ok(found) => edit(tx, found, id, content.into_raw(), now).await,
                    Err(refused) => Ok(Err(refused)),
                }
            })
        })
        .await
    }

    /// Removes the content of a message, also from the entries that edited it. A repeat changes nothing.
    ///
    /// # Errors
    /// Fails if the database does; a refusal is the inner error.
    pub(crate) async fn remove_message(&self, target: Target) -> Result<Result<Changed, ChangeRefused>, StoreError> {
        let (id, now) = (MessageId(self.clock().uuid()), self.now());
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                match find(tx, &target, now).await? {
                    Ok(found) => remove(tx, found, id, now).await,
                    Err(refused) => Ok(Err(refused)),
                }
            })
        })
        .await
    }
}

/// Locks the topic, then the session. Only later statements see the changes that these locks waited for, so everything else
/// is read by them.
async fn find(tx: &Transaction, target: &Target, now: Millis) -> Result<Result<Found, ChangeRefused>, StoreError> {
    let Some(topic) = topics::find(tx, &target.topic, Lock::Exclusive).await? else {
        return Ok(Err(ChangeRefused::NoMessage));
    };
    let Some(user) = lock_user(tx, target.session, now).await? else {
        return Ok(Err(ChangeRefused::SessionEnded));
    };
    let mut admin = false;
    if let Some(group) = topic.id.group_id() {
        let standing = standings::find(tx, group, &user.user_id).await?;
        if !standing.is_member() {
            return Ok(Err(ChangeRefused::NoTopic));
        }
        admin = standing <= MAY_MODERATE;
    }
    // The message is locked as well, because entries are pruned without their topic's lock.
    let sql = format!("SELECT {COLUMNS} FROM message WHERE id = $1 AND topic_id = $2{}", dialect::for_update(tx));
    let Some(row) = dialect::row(tx, sql, vec![target.message.0.into(), topic.key.into()]).await? else {
        return Ok(Err(ChangeRefused::NoMessage));
    };
    let message = message(&row, &topic.id)?;
    let sent = message.code == Code::CHAT;
    Ok(if sent { Ok(Found { topic, user, message, admin }) } else { Err(ChangeRefused::NotSent) })
}

async fn edit(
    tx: &Transaction,
    mut found: Found,
    id: MessageId,
    content: Box<RawValue>,
    now: Millis,
) -> Result<Result<Changed, ChangeRefused>, StoreError> {
    if !found.is_author() {
        return Ok(Err(ChangeRefused::NotAuthor));
    }
    if blocks::is_blocked(tx, &found.topic.id).await? {
        return Ok(Err(ChangeRefused::Blocked));
    }
    if found.message.removed_at.is_some() {
        return Ok(Err(ChangeRefused::Removed));
    }
    let (message_id, seq) = (found.message.id, found.message.seq);
    let body = to_raw(&Edit { message_id, seq, content: Some(&content) });
    let entry = append_entry(tx, &mut found, id, Code::EDIT, body, now).await?;
    let sql = "UPDATE message SET content = $1, edited_at = $2 WHERE topic_id = $3 AND seq = $4";
    let values = vec![content.get().into(), entry.created_at.0.into(), found.topic.key.into(), seq.0.into()];
    dialect::exec(tx, sql, values).await?;
    let message = Message { content, edited_at: Some(entry.created_at), ..found.message };
    Ok(Ok(Changed { key: found.topic.key, message, entry }))
}

async fn remove(
    tx: &Transaction,
    mut found: Found,
    id: MessageId,
    now: Millis,
) -> Result<Result<Changed, ChangeRefused>, StoreError> {
    if !found.is_author() && !found.admin {
        return Ok(Err(ChangeRefused::NotAuthorOrAdmin));
    }
    let (key, message_id, seq) = (found.topic.key, found.message.id, found.message.seq);
    if found.message.removed_at.is_some() {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE topic_id = $1 AND target = $2 AND code = $3");
        let row = dialect::row(tx, sql, vec![key.into(), seq.0.into(), Code::REMOVAL.0.into()]).await?;
        let entry = message(&row.ok_or(StoreError::Corrupt("removal"))?, &found.topic.id)?;
        return Ok(Ok(Changed { key, message: found.message, entry }));
    }
    let entry = append_entry(tx, &mut found, id, Code::REMOVAL, to_raw(&Removal { message_id, seq }), now).await?;
    let sql = "UPDATE message SET content = NULL, removed_at = $1 WHERE topic_id = $2 AND seq = $3";
    dialect::exec(tx, sql, vec![entry.created_at.0.into(), key.into(), seq.0.into()]).await?;
    // The content that its edits hold.
    let body = to_raw(&Edit { message_id, seq, content: None });
    let sql = "UPDATE message SET content = $1 WHERE topic_id = $2 AND target = $3 AND code = $4";
    let values = vec![body.get().into(), key.into(), seq.0.into(), Code::EDIT.0.into()];
    dialect::exec(tx, sql, values).await?;
    let message = Message { content: RawValue::NULL.to_owned(), removed_at: Some(entry.created_at), ..found.message };
    Ok(Ok(Changed { key, message, entry }))
}

/// Appends the entry of an edit or a removal.
async fn append_entry(
    tx: &Transaction,
    found: &mut Found,
    id: MessageId,
    code: Code,
    content: Box<RawValue>,
    now: Millis,
) -> Result<Message, StoreError> {
    let target = Some(found.message.seq);
    let announcement = Announcement { id, code, sender: found.user.clone(), content, target };
    let entry = announce(tx, &mut found.topic, announcement, now).await?;
    read_marks::follow(tx, &found.user.user_id, found.topic.key, entry.seq).await?;
    Ok(entry)
}

/// Locks a valid session until this transaction ends; returns its user.
async fn lock_user(tx: &Transaction, session: SessionId, now: Millis) -> Result<Option<User>, StoreError> {
    let lock = dialect::for_share(tx);
    let sql = format!("SELECT user_id FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{lock}");
    let Some(row) = dialect::row(tx, sql, vec![session.0.into(), now.0.into()]).await? else {
        return Ok(None);
    };
    let id: String = dialect::get(&row, "user_id")?;
    users::find(tx, &UserId::parse(&id).ok_or(StoreError::Corrupt("user id"))?).await
}
