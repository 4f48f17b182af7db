//! Users.

use super::{Caller, Chat, ChatError};
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{User, UserId};

impl Chat {
    /// Anybody's public profile.
    pub async fn user(&self, id: &UserId) -> Result<User, ChatError> {
        self.store().user(id).await?.ok_or(ChatError::NotFound("user"))
    }

    /// Changes how the caller is called from now on; messages keep the name they were sent under.
    pub async fn rename(&self, caller: &Caller, username: &str) -> Result<User, ChatError> {
        let renamed = User { user_id: caller.user.user_id.clone(), username: checked_username(username)?.into() };
        self.to_the_end(|chat| async move {
            if !chat.store().rename_user(&renamed.user_id, &renamed.username).await? {
                return Err(ChatError::NotFound("user"));
            }
            let topics = chat.store().topics_of_user(&renamed.user_id).await?;
            chat.inner.hub.presence_changed(&topics);
            Ok(renamed)
        })
        .await
    }
}

/// A name that somebody may be called by.
pub(super) fn checked_username(username: &str) -> Result<&str, ChatError> {
    if is_name(username, USERNAME_MAX) {
        return Ok(username);
    }
    Err(ChatError::invalid("username takes 1 to 64 characters and no control characters"))
}
