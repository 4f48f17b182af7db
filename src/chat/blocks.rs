//! Blocks: while either of two users blocks the other, their direct message takes no joins and no sends. Its history stays
//! readable for both. Their messages in other topics are not affected.

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::{TopicId, UserId};
use crate::store::{Block, Blocked};

impl Chat {
    /// Blocks a user; a repeat changes nothing. The joins that the block ends have ended when this returns.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] if the caller names themselves, [`ChatError::NotFound`] if there is no such user, or a
    /// failure of the database.
    pub(crate) async fn block(&self, caller: &Caller, user: &UserId) -> Result<(), ChatError> {
        let blocker = caller.user.user_id.clone();
        let blocked = user.clone();
        let dm =
            TopicId::dm(&blocker, &blocked).ok_or(ChatError::invalid("this is you: name another user to block"))?;
        self.user(user).await?;
        self.run_to_completion(|chat| async move {
            let Blocked { topic, sessions } = chat.store().block(dm, blocker, blocked).await?;
            // Before the call returns: no stream shows an ephemeral event that is sent after that.
            sessions.into_iter().for_each(|session| chat.inner.hub.joins_changed(session));
            chat.inner.hub.presence_changed(&[topic]);
            Ok(())
        })
        .await
    }

    /// Removes the caller's block of a user, if there is one. This joins no session again.
    ///
    /// # Errors
    /// A failure of the database.
    pub(crate) async fn unblock(&self, caller: &Caller, user: &UserId) -> Result<(), ChatError> {
        let blocker = caller.user.user_id.clone();
        let blocked = user.clone();
        let Some(dm) = TopicId::dm(&blocker, &blocked) else {
            return Ok(()); // a user cannot block themselves
        };
        self.run_to_completion(|chat| async move { Ok(chat.store().unblock(dm, blocker, blocked).await?) }).await
    }

    /// Lists up to `limit` users whom the caller blocks, in the order of their ids, starting after `after`.
    ///
    /// # Errors
    /// A failure of the database.
    pub(crate) async fn blocks(
        &self,
        caller: &Caller,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<Block>, ChatError> {
        Ok(self.store().blocks_of(&caller.user.user_id, after, limit).await?)
    }

    /// Refuses a call in a direct message while either side blocks the other. Other topics pass. This is for calls that
    /// store nothing; a call that stores something checks within its transaction.
    pub(super) async fn check_not_blocked(&self, topic: &TopicId) -> Result<(), ChatError> {
        if self.store().is_blocked(topic).await? { Err(ChatError::Blocked) } else { Ok(()) }
    }
}
