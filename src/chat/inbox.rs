//! The inbox: what a user has to read, and how far they have read it.

use super::{Caller, Chat, ChatError};
use crate::model::cursor::KeyCursor;
use crate::model::{Millis, Seq, TopicId, UserId};
use crate::store::{InboxTopic, ReadMark, TopicKey};

/// A page of an inbox.
#[derive(Clone, Debug)]
pub struct InboxPage {
    /// Latest first.
    pub topics: Vec<InboxTopic>,
    /// Leads on; none at the end.
    pub next: Option<String>,
}

impl Chat {
    /// A page of the caller's inbox. What moves up while they turn pages may be missed by the later ones; nothing else
    /// is, and nothing comes twice.
    pub async fn inbox(&self, caller: &Caller, cursor: Option<&str>, limit: usize) -> Result<InboxPage, ChatError> {
        let user = &caller.user.user_id;
        let beyond = cursor.map(|text| place(text, user).ok_or(ChatError::BadCursor)).transpose()?;
        let mut topics = self.store().inbox(user, beyond, limit + 1).await?; // one more tells whether there is more
        let more = topics.len() > limit;
        topics.truncate(limit);
        let last = topics.last().filter(|_| more);
        let next = last.map(|last| KeyCursor(format!("{}\n{}", last.last_at.0, last.key)).encode(&owner(user)));
        Ok(InboxPage { topics, next })
    }

    /// Moves the caller's read mark forward to `seq`, at most to the end. No join is needed. Answers where it stands.
    pub async fn mark_read(&self, caller: &Caller, topic: &TopicId, seq: Seq) -> Result<ReadMark, ChatError> {
        let user = caller.user.user_id.clone();
        let Some(row) = self.visible(topic, &user).await? else {
            return Ok(ReadMark::default()); // a direct message without any entry
        };
        let mark = self.to_the_end(move |chat| async move { Ok(chat.store().mark_read(&user, row.key, seq).await?) });
        mark.await?.ok_or(ChatError::NotFound("topic"))
    }
}

/// The place in an inbox that a cursor of it names.
fn place(text: &str, user: &UserId) -> Option<(Millis, TopicKey)> {
    let KeyCursor(key) = KeyCursor::decode(text, &owner(user))?;
    let (at, key) = key.split_once('\n')?;
    Some((Millis(at.parse().ok()?), key.parse().ok()?))
}

/// Cursors of a user's other lists are none of this one.
fn owner(user: &UserId) -> String {
    format!("inbox of {user}")
}
