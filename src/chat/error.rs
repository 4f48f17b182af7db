//! The errors of the rules, in the words of the contract. `http::problem` maps each to a response, in one place.

use std::borrow::Cow;
use std::time::Duration;

use crate::store::StoreError;

/// The reason why a call was refused. The caller can act on everything but [`ChatError::Unavailable`] and
/// [`ChatError::Internal`], and the text of each says how.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChatError {
    /// The credential is missing, unreadable, expired, or its session has ended.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller is authenticated, and may not do this. The sentence says why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A value has the wrong form. The sentence names the value and says what it takes.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The object does not exist, or the caller may not see it: both give the same response. Holds the noun (`topic`,
    /// `message`, …).
    #[error("there is no such {0}, or you may not see it")]
    NotFound(&'static str),
    /// One of the two users of a direct message blocks the other.
    #[error("one of you blocks the other: nothing can be sent here until that is lifted")]
    Blocked,
    /// The caller is banned from the group.
    #[error("you are banned from this group: its admins can lift that")]
    Banned,
    /// The user to add is banned from the group.
    #[error("this user is banned from the group: lift the ban first")]
    UserBanned,
    /// The group has as many members as it may have.
    #[error("the group is full: somebody has to leave first, or its max_members to be raised")]
    GroupFull,
    /// The group would be left without a superadmin.
    #[error("a group keeps at least one superadmin: promote somebody else first")]
    LastSuperadmin,
    /// The member has the highest role already, or the lowest.
    #[error("{0}")]
    NoFurtherRole(&'static str),
    /// The message has been removed and cannot be edited.
    #[error("this message has been removed: send a new one")]
    MessageRemoved,
    /// The session sends to a topic that it has not joined.
    #[error("join the topic first: PUT /v1/session/topics/{{topic}}")]
    NotJoined,
    /// The session has joined as many topics as it may join.
    #[error("a session joins at most {max} topics: leave one first")]
    TooManyJoins {
        /// `PARLOUR_MAX_JOINS`, a number of topics.
        max: usize,
    },
    /// The idempotency key has been used in this topic with another body.
    #[error("this Idempotency-Key was used with another body: take a new key for a new message")]
    KeyReused,
    /// The cursor cannot be read, or it belongs to another list: another topic, direction or user.
    #[error("this cursor does not belong here: start without one")]
    BadCursor,
    /// The content of a message is too long.
    #[error("the content is longer than {max} bytes: send less")]
    ContentTooLarge {
        /// `PARLOUR_MAX_CONTENT_BYTES`, in bytes.
        max: usize,
    },
    /// The caller exceeds a rate limit.
    #[error("too many requests: wait as long as Retry-After says")]
    RateLimited {
        /// The time until the next call is accepted.
        retry_after: Duration,
    },
    /// The database is unreachable, or the call would wait for longer than its bound.
    #[error("the service cannot do this at the moment: try again shortly")]
    Unavailable,
    /// A fault of the service. The cause is logged and never sent to the client.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ChatError {
    /// Refuses a value, in a sentence that names it.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(detail.into())
    }

    /// Refuses a token whose session has ended or expired.
    pub(crate) fn session_ended() -> Self {
        Self::Unauthenticated("the session has ended or expired: open a new one with POST /v1/sessions")
    }
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(why, "the database could not do what was requested");
                Self::Unavailable
            }
            StoreError::Database(_) | StoreError::Corrupt(_) => Self::Internal(Box::new(error)),
        }
    }
}
