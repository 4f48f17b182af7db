//! Users.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Body;
use super::path::UserPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat};
use crate::model::User;

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
async fn me(caller: Caller) -> Json<User> {
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
async fn rename(State(chat): State<Chat>, caller: Caller, Body(patch): Body<PatchUser>) -> Result<Json<User>, Problem> {
    Ok(Json(chat.rename(&caller, &patch.username).await?))
}

/// Reads a public profile
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users", operation_id = "read_user",
    params(UserPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The user.", body = User),
        (status = 404, description = "Nobody has been seen under this id (`not_found`)."),
    ),
)]
async fn profile(State(chat): State<Chat>, _: Caller, path: UserPath) -> Result<Json<User>, Problem> {
    Ok(Json(chat.user(&path.user_id).await?))
}
