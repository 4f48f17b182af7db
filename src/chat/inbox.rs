//! The inbox: the topics of a user with their newest message, and the user's read mark in each.

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::cursor::KeyCursor;
use crate::model::{Millis, Seq, TopicId, UserId};
use crate::store::{InboxTopic, ReadMark, TopicKey};

/// A page of an inbox.
#[derive(Clone, Debug)]
pub(crate) struct InboxPage {
    /// The topics, the one with the latest message first.
    pub topics: Vec<InboxTopic>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl Chat {
    /// Reads a page of the caller's inbox. A topic that moves to the top while the caller reads page after page may be
    /// missing on the later ones. No other topic is missing, and none is listed twice.
    ///
    /// # Errors
    /// [`ChatError::BadCursor`], or a failure of the database.
    pub(crate) async fn inbox(
        &self,
        caller: &Caller,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<InboxPage, ChatError> {
        let user = &caller.user.user_id;
        let after = cursor.map(|text| decode_cursor(text, user).ok_or(ChatError::BadCursor)).transpose()?;
        // One topic more than the page holds shows that there is a next page.
        let mut topics = self.store().inbox(user, after, limit + 1).await?;
        let has_more = topics.len() > limit;
        topics.truncate(limit);
        let last = topics.last().filter(|_| has_more);
        let next = last.map(|last| KeyCursor(format!("{}\n{}", last.last_at.0, last.key)).encode(&owner(user)));
        Ok(InboxPage { topics, next })
    }

    /// Moves the caller's read mark forward to `seq`, at most to the end of the log. No join is needed. Returns the read
    /// mark after that.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see the topic, or a failure of the database.
    pub(crate) async fn mark_read(&self, caller: &Caller, topic: &TopicId, seq: Seq) -> Result<ReadMark, ChatError> {
        let user = caller.user.user_id.clone();
        let Some(row) = self.visible(topic, &user).await? else {
            return Ok(ReadMark::default()); // a direct message without any entry
        };
        let mark =
            self.run_to_completion(move |chat| async move { Ok(chat.store().mark_read(&user, row.key, seq).await?) });
        mark.await?.ok_or(ChatError::NotFound("topic"))
    }
}

/// Reads the position in the inbox that a cursor holds: the time and the key of the last topic of the page before.
fn decode_cursor(text: &str, user: &UserId) -> Option<(Millis, TopicKey)> {
    let KeyCursor(key) = KeyCursor::decode(text, &owner(user))?;
    let (at, key) = key.split_once('\n')?;
    Some((Millis(at.parse().ok()?), key.parse().ok()?))
}

/// The owner of the cursors of this list. It differs from the owner of the user's other lists, so that their cursors are
/// refused here.
fn owner(user: &UserId) -> String {
    format!("inbox of {user}")
}
