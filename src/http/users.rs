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

/// The changes to make to a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchUser {
    /// The new display name: 1 to 64 characters without control characters. It need not be unique.
    #[schema(example = "Ana", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    username: String,
}

/// Returns the user of this session
#[utoipa::path(
    get, path = "/v1/me", tag = "users", operation_id = "read_me",
    responses((status = 200, description = "The user of this session.", body = User)),
)]
async fn me(caller: Caller) -> Json<User> {
    Json(caller.user)
}

/// Changes the name of the caller
///
/// Messages that were already sent keep the old name.
#[utoipa::path(
    patch, path = "/v1/me", tag = "users", operation_id = "patch_me",
    request_body = PatchUser,
    responses((status = 200, description = "The caller with the new name.", body = User)),
)]
async fn rename(State(chat): State<Chat>, caller: Caller, Body(patch): Body<PatchUser>) -> Result<Json<User>, Problem> {
    Ok(Json(chat.rename(&caller, &patch.username).await?))
}

/// Returns the public profile of a user
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users", operation_id = "read_user",
    params(UserPath),
    responses(
        (status = 200, description = "The user.", body = User),
        (status = 404, description = "There is no user with this id (`not_found`)."),
    ),
)]
async fn profile(State(chat): State<Chat>, _: Caller, path: UserPath) -> Result<Json<User>, Problem> {
    Ok(Json(chat.user(&path.user_id).await?))
}
