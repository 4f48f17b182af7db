//! Typing notifications.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::path::TopicPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Chat, Claims};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(notify))
}

/// Notifies the sessions that listen to a topic that the caller is typing
///
/// Every stream that has joined the topic gets a `typing` event, the caller's own streams as well. Nothing is stored. The
/// session must have joined the topic. A session can send one notification in two seconds; a further one is dropped, with
/// the same response.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/typing", tag = "messages", operation_id = "tell_typing",
    params(TopicPath),
    responses(
        (status = 204, description = "The notification was sent, or dropped because the last one is less than two seconds old."),
        (status = 403, description = "One of the two users of a direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
        (status = 409, description = "The session has not joined the topic (`not_joined`)."),
    ),
)]
async fn notify(State(chat): State<Chat>, claims: Claims, path: TopicPath) -> Result<StatusCode, Problem> {
    chat.send_typing(&claims, &path.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}
