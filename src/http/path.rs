//! The ids in the path of a route, parsed. An id of the wrong form is 422 `invalid`; a direct message of two other users
//! does not exist for the caller and is 404 `not_found`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;

use super::extract::Segments;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{ChatError, Claims};
use crate::model::topic::TopicError;
use crate::model::{GroupId, MessageId, SessionId, TopicId, UserId};

/// `{topic}`, where `dm:USER` is the direct message of the caller and USER.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TopicPath {
    /// The id of the topic: `room:NAME`, `group:UUID`, `dm:USER` (your direct message with that user) or `dm:A:B` (both
    /// user ids, the smaller one first).
    pub(crate) topic: TopicId,
}

/// `{topic}` and `{message_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MessagePath {
    /// The id of the topic: `room:NAME`, `group:UUID`, `dm:USER` (your direct message with that user) or `dm:A:B` (both
    /// user ids, the smaller one first).
    pub(crate) topic: TopicId,
    /// The id of the message in this topic.
    pub(crate) message_id: MessageId,
}

/// `{group_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct GroupPath {
    /// The id of the group.
    pub(crate) group_id: GroupId,
}

/// `{group_id}` and `{user_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MemberPath {
    /// The id of the group.
    pub(crate) group_id: GroupId,
    /// The id of the user on whom the call acts.
    pub(crate) user_id: UserId,
}

/// `{user_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UserPath {
    /// The id of the user.
    pub(crate) user_id: UserId,
}

/// `{session_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionPath {
    /// The id of one of the caller's sessions.
    pub(crate) session_id: SessionId,
}

impl FromRequestParts<Shared> for TopicPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let claims = Claims::from_request_parts(parts, shared).await?;
        let Segments(topic) = Segments::<String>::from_request_parts(parts, shared).await?;
        Ok(Self { topic: topic_id(&topic, &claims.user)? })
    }
}

impl FromRequestParts<Shared> for MessagePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let claims = Claims::from_request_parts(parts, shared).await?;
        let Segments((topic, message)) = Segments::<(String, String)>::from_request_parts(parts, shared).await?;
        let message_id = MessageId::parse(&message).ok_or(Problem::invalid("a message id is a UUID in lower case"))?;
        Ok(Self { topic: topic_id(&topic, &claims.user)?, message_id })
    }
}

impl FromRequestParts<Shared> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let Segments(group) = Segments::<String>::from_request_parts(parts, shared).await?;
        Ok(Self { group_id: group_id(&group)? })
    }
}

impl FromRequestParts<Shared> for MemberPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let Segments((group, user)) = Segments::<(String, String)>::from_request_parts(parts, shared).await?;
        Ok(Self { group_id: group_id(&group)?, user_id: user_id(&user)? })
    }
}

impl FromRequestParts<Shared> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let Segments(user) = Segments::<String>::from_request_parts(parts, shared).await?;
        Ok(Self { user_id: user_id(&user)? })
    }
}

impl FromRequestParts<Shared> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let Segments(session) = Segments::<String>::from_request_parts(parts, shared).await?;
        let parsed = SessionId::parse(&session);
        Ok(Self { session_id: parsed.ok_or(Problem::invalid("a session id is a UUID in lower case"))? })
    }
}

fn topic_id(text: &str, caller: &UserId) -> Result<TopicId, ChatError> {
    TopicId::parse(text, caller).map_err(|error| match error {
        TopicError::NotYours => ChatError::NotFound("topic"),
        TopicError::Malformed | TopicError::WithOneself => ChatError::invalid(error.to_string()),
    })
}

fn group_id(text: &str) -> Result<GroupId, ChatError> {
    GroupId::parse(text).ok_or(ChatError::invalid("a group id is a UUID in lower case"))
}

fn user_id(text: &str) -> Result<UserId, ChatError> {
    UserId::parse(text).ok_or(ChatError::invalid("a user id has 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + = -"))
}
