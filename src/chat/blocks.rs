//! Blocks: while either of two users blocks the other, their direct message takes no joins and no sends. Its history stays
//! readable for both, and what they say elsewhere is not touched.

use super::{Caller, Chat, ChatError};
use crate::model::{TopicId, UserId};
use crate::store::{Block, Blocked};

impl Chat {
    /// Blocks a user; a repeat changes nothing. What it ends has ended once this returns.
    pub async fn block(&self, caller: &Caller, user: &UserId) -> Result<(), ChatError> {
        let (blocker, blocked) = (caller.user.user_id.clone(), user.clone());
        let dm =
            TopicId::dm(&blocker, &blocked).ok_or(ChatError::invalid("this is you: name another user to block"))?;
        self.user(user).await?;
        self.to_the_end(|chat| async move {
            let Blocked { topic, sessions } = chat.store().block(dm, blocker, blocked).await?;
            // Before the answer: what is whispered from here on, no stream shows any more.
            sessions.into_iter().for_each(|session| chat.inner.hub.joins_changed(session));
            chat.inner.hub.presence_changed(&[topic]);
            Ok(())
        })
        .await
    }

    /// Lifts the caller's block of a user, where there is one. Nobody is joined again by it.
    pub async fn unblock(&self, caller: &Caller, user: &UserId) -> Result<(), ChatError> {
        let (blocker, blocked) = (caller.user.user_id.clone(), user.clone());
        let Some(dm) = TopicId::dm(&blocker, &blocked) else {
            return Ok(()); // nobody blocks themselves
        };
        self.to_the_end(|chat| async move { Ok(chat.store().unblock(dm, blocker, blocked).await?) }).await
    }

    /// Whom the caller blocks, in the order of ids, beyond `after`.
    pub async fn blocks(&self, caller: &Caller, after: Option<&UserId>, limit: u64) -> Result<Vec<Block>, ChatError> {
        Ok(self.store().blocks_of(&caller.user.user_id, after, limit).await?)
    }

    /// Refuses what a block forbids: to act in a direct message while either side blocks the other. Other topics pass.
    /// For acts that store nothing; one that does asks within its transaction.
    pub(super) async fn check_not_blocked(&self, topic: &TopicId) -> Result<(), ChatError> {
        if self.store().is_blocked(topic).await? { Err(ChatError::Blocked) } else { Ok(()) }
    }
}
