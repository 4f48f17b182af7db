//! What can go wrong in an act of chat, in the words of the contract. `http::problem` maps it to responses, once.

use std::borrow::Cow;
use std::time::Duration;

use crate::store::StoreError;

/// Why an act was refused. Everything but [`ChatError::Internal`] is the caller's to mend, and says how.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The credential is missing, unreadable, expired, or its session has ended.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller is known, and may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A value has the wrong form; the sentence names it.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// There is none, or the caller may not see it: both answer alike. Holds the noun (`topic`, `message`, …).
    #[error("there is no such {0}, or you may not see it")]
    NotFound(&'static str),
    /// One of the two users of a direct message blocks the other.
    #[error("one of you blocks the other: nothing can be sent here until that is lifted")]
    Blocked,
    /// The caller is banned from the group.
    #[error("you are banned from this group: its admins can lift that")]
    Banned,
    /// The user whom the caller would add is banned from the group.
    #[error("this user is banned from the group: lift the ban first")]
    UserBanned,
    /// The group takes no more members.
    #[error("the group is full: somebody has to leave first, or its max_members to be raised")]
    GroupFull,
    /// The group would be left without a superadmin.
    #[error("a group keeps at least one superadmin: promote somebody else first")]
    LastSuperadmin,
    /// There is no role beyond the one that the member has.
    #[error("{0}")]
    NoFurtherRole(&'static str),
    /// The message has been removed and cannot be edited.
    #[error("this message has been removed: send a new one")]
    MessageRemoved,
    /// The session sends to a topic that it has not joined.
    #[error("join the topic first: PUT /v1/session/topics/{{topic}}")]
    NotJoined,
    /// The session has joined as many topics as it may.
    #[error("a session joins at most {max} topics: leave one first")]
    TooManyJoins {
        /// `PARLOUR_MAX_JOINS`.
        max: usize,
    },
    /// The idempotency key has been used in this topic with another body.
    #[error("this Idempotency-Key was used with another body: take a new key for a new message")]
    KeyReused,
    /// A history cursor that is not of this topic and direction, or none at all.
    #[error("this cursor does not belong here: start without one")]
    BadCursor,
    /// The content is longer than the service takes.
    #[error("the content is longer than {max} bytes: send less")]
    ContentTooLarge {
        /// `PARLOUR_MAX_CONTENT_BYTES`.
        max: usize,
    },
    /// The caller does this too often.
    #[error("too many requests: wait as long as Retry-After says")]
    RateLimited {
        /// How long until the next one is taken.
        retry_after: Duration,
    },
    /// The database is away, or everything is busy for longer than a caller should wait.
    #[error("the service cannot do this at the moment: try again shortly")]
    Unavailable,
    /// Our own fault. The cause goes to the log, never to the client.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ChatError {
    /// A refusal of a value, in a sentence that names it.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(detail.into())
    }
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(why, "the database did not do as asked");
                Self::Unavailable
            }
            StoreError::Database(_) | StoreError::Corrupt(_) => Self::Internal(Box::new(error)),
        }
    }
}
