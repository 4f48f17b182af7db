//! Changing what was said: edits and removals. Each is an entry of the log, and changes the row of the message that it
//! is about in the same transaction: what history shows and what a stream has told are one.

use serde_json::value::RawValue;

use super::rows::{Announcement, announce};
use super::{COLUMNS, message};
use crate::model::group::MAY_MODERATE;
use crate::model::message::{Edit, Removal, to_raw};
use crate::model::{Code, Content, Message, MessageId, Millis, SessionId, TopicId, User, UserId};
use crate::store::pool::Transaction;
use crate::store::topics::{self, Lock};
use crate::store::{Store, StoreError, TopicKey, TopicRow, blocks, dialect, read_marks, standings, users};

/// A message that somebody wants to change.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who wants to.
    pub session: SessionId,
    /// Where the message stands.
    pub topic: TopicId,
    /// Which.
    pub message: MessageId,
}

/// A message that was changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Where.
    pub key: TopicKey,
    /// The message as it is now.
    pub message: Message,
    /// The entry that says so; of a removal that was repeated, the first one's.
    pub entry: Message,
}

/// Why a message was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// The session lives no more.
    SessionEnded,
    /// Its user is no member of the group whose topic it is.
    NoTopic,
    /// The topic holds no such message.
    NoMessage,
    /// It is an entry of the service's own making.
    NotSent,
    /// An edit of what somebody else has sent.
    NotAuthor,
    /// A removal of what somebody else has sent, by one who is no admin of a group.
    NotAuthorOrAdmin,
    /// An edit where one of two users blocks the other.
    Blocked,
    /// An edit of what has been removed.
    Removed,
}

/// What a change is decided by: all of it read behind the topic's lock.
struct Found {
    topic: TopicRow,
    user: User,
    message: Message,
    /// Whether the user may remove what others say.
    admin: bool,
}

impl Found {
    fn is_author(&self) -> bool {
        self.message.sender.user_id == self.user.user_id
    }
}

impl Store {
    /// Changes what a message of the session's user says.
    pub async fn edit_message(
        &self,
        target: Target,
        content: Content,
    ) -> Result<Result<Changed, ChangeRefused>, StoreError> {
        let (id, now) = (MessageId(self.clock().uuid()), self.now());
        self.change(move |tx| {
            Box::pin(async move {
                match find(tx, &target, now).await? {
                    Ok(found) => edit(tx, found, id, content.into_raw(), now).await,
                    Err(refused) => Ok(Err(refused)),
                }
            })
        })
        .await
    }

    /// Takes a message's content away, also from the entries that edited it. A repeat changes nothing.
    pub async fn remove_message(&self, target: Target) -> Result<Result<Changed, ChangeRefused>, StoreError> {
        let (id, now) = (MessageId(self.clock().uuid()), self.now());
        self.change(move |tx| {
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

/// Locks the topic, then the session; what these waited for is seen by later statements only, so the rest is read then.
async fn find(tx: &Transaction, target: &Target, now: Millis) -> Result<Result<Found, ChangeRefused>, StoreError> {
    let Some(topic) = topics::find(tx, &target.topic, Lock::Exclusive).await? else {
        return Ok(Err(ChangeRefused::NoMessage));
    };
    let Some(user) = living_user(tx, target.session, now).await? else {
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
    // Locked as well, as entries are pruned without their topic's lock.
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
    let says = to_raw(&Edit { message_id, seq, content: Some(&content) });
    let entry = tell(tx, &mut found, id, Code::EDIT, says, now).await?;
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
    let entry = tell(tx, &mut found, id, Code::REMOVAL, to_raw(&Removal { message_id, seq }), now).await?;
    let sql = "UPDATE message SET content = NULL, removed_at = $1 WHERE topic_id = $2 AND seq = $3";
    dialect::exec(tx, sql, vec![entry.created_at.0.into(), key.into(), seq.0.into()]).await?;
    // What it said between its edits.
    let says = to_raw(&Edit { message_id, seq, content: None });
    let sql = "UPDATE message SET content = $1 WHERE topic_id = $2 AND target = $3 AND code = $4";
    let values = vec![says.get().into(), key.into(), seq.0.into(), Code::EDIT.0.into()];
    dialect::exec(tx, sql, values).await?;
    let message = Message { content: RawValue::NULL.to_owned(), removed_at: Some(entry.created_at), ..found.message };
    Ok(Ok(Changed { key, message, entry }))
}

/// Appends the entry of a change.
async fn tell(
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

/// The user of a session that lives, and will until this transaction ends.
async fn living_user(tx: &Transaction, session: SessionId, now: Millis) -> Result<Option<User>, StoreError> {
    let lock = dialect::for_share(tx);
    let sql = format!("SELECT user_id FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2{lock}");
    let Some(row) = dialect::row(tx, sql, vec![session.0.into(), now.0.into()]).await? else {
        return Ok(None);
    };
    let id: String = dialect::get(&row, "user_id")?;
    users::find(tx, &UserId::parse(&id).ok_or(StoreError::Corrupt("user id"))?).await
}
