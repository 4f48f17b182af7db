//! Messages: send one, and read one.

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use super::tokens::Claims;
use crate::model::message::{EphemeralMessage, to_json};
use crate::model::{Code, Content, EphemeralEvent, Message, MessageId, TopicId};
use crate::store::{AppendError, Draft, DraftError, TopicRow};

/// A message to send.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    /// Any well-formed JSON value.
    pub content: Box<RawValue>,
    /// True if the message is delivered to the current listeners only, and not stored.
    pub ephemeral: bool,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
}

/// The result of sending a message. Each variant holds the message as JSON.
#[derive(Clone, Debug)]
pub(crate) enum SendOutcome {
    /// The message is stored.
    Stored(Bytes),
    /// An earlier request with the same idempotency key stored the message.
    Repeated(Bytes),
    /// The ephemeral message was delivered. It is not stored.
    Delivered(Bytes),
}

impl Chat {
    /// Sends a message. A stored message is durable when this returns. The transaction that stores it checks that the
    /// session is valid and has joined the topic.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] or [`ChatError::ContentTooLarge`] for the content, [`ChatError::NotFound`] if the caller
    /// may not see the topic, [`ChatError::NotJoined`], [`ChatError::Blocked`], [`ChatError::KeyReused`],
    /// [`ChatError::Unauthenticated`], or a failure of the database.
    pub(crate) async fn send(
        &self,
        claims: &Claims,
        topic: TopicId,
        message: NewMessage,
    ) -> Result<SendOutcome, ChatError> {
        let content = self.content(&message.content)?;
        if message.ephemeral {
            if message.key.is_some() {
                return Err(ChatError::invalid("an ephemeral message is not stored: send it without Idempotency-Key"));
            }
            return self.send_ephemeral(claims, topic, content).await;
        }
        let key = message.key.map(|key| (key, Sha256::digest(content.as_str()).into()));
        let id = MessageId(self.inner.clock.uuid());
        let draft = Draft { id, topic: topic.clone(), session: claims.session, content, key };
        let appended = match self.store().append(draft).await {
            Err(AppendError::Refused(DraftError::NotJoined)) => {
                return Err(self.not_joined_error(&topic, &claims.user).await);
            }
            appended => appended?,
        };
        self.record_call(claims.session, appended.online_until);
        let outcome = if appended.fresh { SendOutcome::Stored } else { SendOutcome::Repeated };
        Ok(outcome(appended.json))
    }

    /// Checks the content of a message and removes its white space outside strings.
    pub(super) fn content(&self, raw: &RawValue) -> Result<Content, ChatError> {
        let content = Content::new(raw).map_err(|error| ChatError::invalid(error.to_string()))?;
        let max = self.inner.settings.max_content_bytes;
        if content.as_str().len() > max { Err(ChatError::ContentTooLarge { max }) } else { Ok(content) }
    }

    async fn send_ephemeral(
        &self,
        claims: &Claims,
        topic: TopicId,
        content: Content,
    ) -> Result<SendOutcome, ChatError> {
        let caller = self.caller(claims).await?;
        let row = self.joined_topic(claims, &topic).await?;
        let json = to_json(&EphemeralMessage {
            topic,
            code: Code::CHAT,
            sender: caller.user,
            content: content.into_raw(),
            created_at: self.store().now(),
        });
        self.inner.hub.send_ephemeral(row.key, row.last_seq, EphemeralEvent::Message(json.clone()));
        Ok(SendOutcome::Delivered(json))
    }

    /// Reads a topic that the session has joined, for events that are not stored. This takes no lock, unlike the append
    /// of a message: an ephemeral event has no seq that a lock would protect.
    pub(super) async fn joined_topic(&self, claims: &Claims, topic: &TopicId) -> Result<TopicRow, ChatError> {
        match self.store().joined_topic(claims.session, topic).await? {
            Some(row) => Ok(row),
            None => Err(self.not_joined_error(topic, &claims.user).await),
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller may not see it, or a failure of the database.
    pub(crate) async fn message(&self, caller: &Caller, topic: &TopicId, id: MessageId) -> Result<Message, ChatError> {
        let row = self.visible(topic, &caller.user.user_id).await?;
        let row = row.ok_or(ChatError::NotFound("message"))?;
        let message = self.store().message(&row, id).await?;
        self.check_member(&row.id, &caller.user.user_id).await?;
        message.ok_or(ChatError::NotFound("message"))
    }
}
