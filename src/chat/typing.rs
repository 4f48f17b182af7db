//! Typing notifications: delivered to the streams that listen at that moment, and stored nowhere.

use super::error::ChatError;
use super::service::Chat;
use super::tokens::Claims;
use crate::live::events;
use crate::model::message::to_json;
use crate::model::{EphemeralEvent, TopicId};

impl Chat {
    /// Notifies the listeners of a topic that the caller is typing. The session must have joined the topic. A hidden
    /// session becomes visible by this. At most one notification in two seconds is delivered per session; the others
    /// are dropped.
    ///
    /// # Errors
    /// [`ChatError::NotJoined`], [`ChatError::Blocked`], [`ChatError::NotFound`], [`ChatError::Unauthenticated`], or a
    /// failure of the database.
    pub(crate) async fn send_typing(&self, claims: &Claims, topic: &TopicId) -> Result<(), ChatError> {
        let caller = self.caller(claims).await?;
        let row = self.joined_topic(claims, topic).await?;
        // Only now: a call that is refused does not count, so that the session may notify as soon as it has joined.
        if self.inner.typing.allows(claims.session) {
            let user_id = &caller.user.user_id;
            let json = to_json(&events::Typing { topic, user_id, username: &caller.user.username });
            self.inner.hub.send_ephemeral(row.key, row.last_seq, EphemeralEvent::Typing(json));
        }
        Ok(())
    }
}
