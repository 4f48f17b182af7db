//! Users.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Body, Segments};
use super::problem::Problem;
use super::state::{Session, Shared};
use crate::chat::ChatError;
use crate::model::{User, UserId};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(me, rename)).routes(routes!(profile))
}

/// What can be changed of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchUser {
    /// 1 to 64 characters without control characters; not unique.
    #[schema(example = "Ana", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    username: String,
}

/// Reads the caller
#[utoipa::path(
    get, path = "/v1/me", tag = "users", operation_id = "read_me",
    security(("session_token" = [])),
    responses((status = 200, description = "The caller.", body = User)),
)]
async fn me(Session(caller): Session) -> Json<User> {
    Json(caller.user)
}

/// Changes how the caller is called
///
/// Messages keep the name that they were sent under.
#[utoipa::path(
    patch, path = "/v1/me", tag = "users", operation_id = "patch_me",
    request_body = PatchUser,
    security(("session_token" = [])),
    responses((status = 200, description = "The caller as they are called now.", body = User)),
)]
async fn rename(
    State(shared): State<Shared>,
    Session(caller): Session,
    Body(patch): Body<PatchUser>,
) -> Result<Json<User>, Problem> {
    Ok(Json(shared.chat.rename(&caller, &patch.username).await?))
}

/// Reads a public profile
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users", operation_id = "read_user",
    params(("user_id" = UserId, Path, description = "Who.")),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The user.", body = User),
        (status = 404, description = "Nobody has been seen under this id (`not_found`)."),
    ),
)]
async fn profile(
    State(shared): State<Shared>,
    Session(_): Session,
    Segments(id): Segments<String>,
) -> Result<Json<User>, Problem> {
    Ok(Json(shared.chat.user(&user_id(&id)?).await?))
}

/// A user's id in a path.
pub(super) fn user_id(text: &str) -> Result<UserId, ChatError> {
    UserId::parse(text).ok_or(ChatError::invalid("a user id has 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + = -"))
}
