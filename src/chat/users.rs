//! Users: their profiles and their names.

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{User, UserId};

impl Chat {
    /// Reads the public profile of a user.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if there is no such user, or a failure of the database.
    pub(crate) async fn user(&self, id: &UserId) -> Result<User, ChatError> {
        self.store().user(id).await?.ok_or(ChatError::NotFound("user"))
    }

    /// Changes the caller's username. Messages keep the name that they were sent under.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for a name that has the wrong length or a control character, [`ChatError::NotFound`] if
    /// the user does not exist any more, or a failure of the database.
    pub(crate) async fn rename(&self, caller: &Caller, username: &str) -> Result<User, ChatError> {
        let renamed = User { user_id: caller.user.user_id.clone(), username: checked_username(username)?.into() };
        self.run_to_completion(|chat| async move {
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

/// Returns the name if it may be a username: 1 to 64 characters without control characters.
pub(super) fn checked_username(username: &str) -> Result<&str, ChatError> {
    if is_name(username, USERNAME_MAX) {
        return Ok(username);
    }
    Err(ChatError::invalid("username takes 1 to 64 characters and no control characters"))
}
