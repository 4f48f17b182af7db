//! Changes of what was said: edits and removals. Both are entries of the log, so that streams, those that were away, and
//! other instances learn of them as of any message.

use serde_json::value::RawValue;

use super::sessions::ENDED;
use super::{Caller, Chat, ChatError};
use crate::model::{Message, MessageId, TopicId};
use crate::store::{ChangeRefused, Changed, Target};

impl Chat {
    /// Changes what a message of the caller's says; answers it as it is now. No join is needed.
    pub async fn edit(
        &self,
        caller: &Caller,
        topic: TopicId,
        message: MessageId,
        content: &RawValue,
    ) -> Result<Message, ChatError> {
        let content = self.content(content)?;
        let target = self.target(caller, topic, message).await?;
        self.to_the_end(|chat| async move { Ok(chat.tell(chat.store().edit_message(target, content).await??)) }).await
    }

    /// Takes a message's content away: the caller's own, or as an admin of the group anybody's. A repeat changes nothing.
    pub async fn remove(&self, caller: &Caller, topic: TopicId, message: MessageId) -> Result<(), ChatError> {
        let target = self.target(caller, topic, message).await?;
        self.to_the_end(|chat| async move {
            chat.tell(chat.store().remove_message(target).await??);
            Ok(())
        })
        .await
    }

    async fn target(&self, caller: &Caller, topic: TopicId, message: MessageId) -> Result<Target, ChatError> {
        self.visible(&topic, &caller.user.user_id).await?;
        Ok(Target { session: caller.session, topic, message })
    }

    /// Tells the streams. A removal that is repeated is told again: the first answer may have been lost before it was.
    fn tell(&self, changed: Changed) -> Message {
        self.inner.hub.appended(changed.key, &changed.entry.topic, vec![changed.entry.render()]);
        changed.message
    }
}

impl From<ChangeRefused> for ChatError {
    fn from(refused: ChangeRefused) -> Self {
        match refused {
            ChangeRefused::SessionEnded => Self::Unauthenticated(ENDED),
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
