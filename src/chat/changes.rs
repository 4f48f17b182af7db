//! Edits and removals of messages. Both append an entry to the log, so that streams, clients that were away, and other
//! instances receive them as they receive messages.

use serde_json::value::RawValue;

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::{Message, MessageId, TopicId};
use crate::store::{ChangeRefused, Changed, Target};

impl Chat {
    /// Replaces the content of one of the caller's messages, and returns the message with its new content. No join is
    /// needed.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] or [`ChatError::ContentTooLarge`] for the content, [`ChatError::NotFound`] if the caller
    /// may not see the message, [`ChatError::Forbidden`] if they did not send it, [`ChatError::Blocked`],
    /// [`ChatError::MessageRemoved`], [`ChatError::Unauthenticated`], or a failure of the database.
    pub(crate) async fn edit(
        &self,
        caller: &Caller,
        topic: TopicId,
        message: MessageId,
        content: &RawValue,
    ) -> Result<Message, ChatError> {
        let content = self.content(content)?;
        let target = self.target(caller, topic, message).await?;
        self.run_to_completion(|chat| async move {
            let changed = chat.store().edit_message(target, content).await??;
            Ok(chat.publish_change(changed))
        })
        .await
    }

    /// Removes the content of a message: one of the caller's own, or any message if the caller is an admin of the
    /// group. A repeat changes nothing.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see the message, [`ChatError::Forbidden`] if they may not remove
    /// it, [`ChatError::Unauthenticated`], or a failure of the database.
    pub(crate) async fn remove(&self, caller: &Caller, topic: TopicId, message: MessageId) -> Result<(), ChatError> {
        let target = self.target(caller, topic, message).await?;
        self.run_to_completion(|chat| async move {
            let changed = chat.store().remove_message(target).await??;
            chat.publish_change(changed);
            Ok(())
        })
        .await
    }

    async fn target(&self, caller: &Caller, topic: TopicId, message: MessageId) -> Result<Target, ChatError> {
        self.visible(&topic, &caller.user.user_id).await?;
        Ok(Target { session: caller.session, topic, message })
    }

    /// Hands the entry of the change to the hub. A repeated removal is handed over again: the first call may have been
    /// lost before it got here.
    fn publish_change(&self, changed: Changed) -> Message {
        self.inner.hub.appended(changed.key, &changed.entry.topic, vec![changed.entry.render()]);
        changed.message
    }
}

impl From<ChangeRefused> for ChatError {
    fn from(refused: ChangeRefused) -> Self {
        match refused {
            ChangeRefused::SessionEnded => Self::session_ended(),
            ChangeRefused::NoTopic => Self::NotFound("topic"),
            ChangeRefused::NoMessage => Self::NotFound("message"),
            ChangeRefused::NotSent => {
                Self::Forbidden("the service itself made this entry: only what somebody has sent can be changed")
            }
            ChangeRefused::NotAuthor => Self::Forbidden("only its author can edit a message"),
            ChangeRefused::NotAuthorOrAdmin => {
                Self::Forbidden("only its author, or an admin of the group, can remove a message")
            }
            ChangeRefused::Blocked => Self::Blocked,
            ChangeRefused::Removed => Self::MessageRemoved,
        }
    }
}
