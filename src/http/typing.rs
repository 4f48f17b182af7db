//! Typing.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::path::TopicPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Chat, Claims};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(tell))
}

/// Tells those present that the caller is typing
///
/// They get a `typing` event, the caller's own sessions as well; nothing is stored. The session must have joined the
/// topic. It tells at most once in two seconds: what comes sooner is answered alike, and dropped.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/typing", tag = "messages", operation_id = "tell_typing",
    params(TopicPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "Told, or dropped."),
        (status = 403, description = "One of the two users of a direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
        (status = 409, description = "The session has not joined the topic (`not_joined`)."),
    ),
)]
async fn tell(State(chat): State<Chat>, claims: Claims, path: TopicPath) -> Result<StatusCode, Problem> {
    chat.send_typing(&claims, &path.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}
