//! Drafts: messages on their way to the log.

use crate::model::{Content, MessageId, SessionId, TopicId};

/// A message that has no seq yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Its id.
    pub id: MessageId,
    /// The topic that it is sent to.
    pub topic: TopicId,
    /// The session that sends it.
    pub session: SessionId,
    /// The content.
    pub content: Content,
    /// The idempotency key and the hash of the body that was sent with it.
    pub key: Option<(String, [u8; 32])>,
}

/// Why a draft was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DraftError {
    /// The session has ended or expired.
    SessionEnded,
    /// The session has not joined the topic.
    NotJoined,
    /// The key has been used with another body.
    KeyReused,
}
