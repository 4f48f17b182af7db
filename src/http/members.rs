//! Members of groups: coming and going, and what admins do.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::StrictQuery;
use super::groups::{MemberState, StandingDto};
use super::paging::{cut, page_size, start_after};
use super::path::{GroupPath, MemberPath};
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat, MemberRow};
use crate::model::cursor::KeyCursor;
use crate::model::group::Act;
use crate::model::{Millis, User};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(list))
        .routes(routes!(add, kick))
        .routes(routes!(promote))
        .routes(routes!(demote))
        .routes(routes!(ban))
        .routes(routes!(unban))
}

/// Somebody who belongs to a group, asks to, or may not.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberDto {
    user: User,
    #[serde(flatten)]
    standing: StandingDto,
    /// Since when it is so.
    since: Millis,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberList {
    /// The highest role first, then by user id.
    members: Vec<MemberDto>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Which members.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MemberParams {
    /// Those who belong to it, who ask to, or who may not; `member` where nothing is said.
    #[serde(default)]
    #[param(inline)]
    state: MemberState,
    /// How many items at most.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

impl From<MemberRow> for MemberDto {
    fn from(row: MemberRow) -> Self {
        Self { user: row.user, standing: row.standing.into(), since: row.since }
    }
}

/// Joins a group
///
/// An open group takes anyone at once, and says so in its chat (code 1). A closed one takes a request, which an admin
/// accepts or declines. A repeat changes nothing.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/join", tag = "groups", operation_id = "join_group",
    params(GroupPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The caller is a member, or asks to become one.", body = StandingDto),
        (status = 403, description = "The caller is banned from the group (`banned`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
        (status = 409, description = "The group is full (`group_full`)."),
    ),
)]
async fn join(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<Json<StandingDto>, Problem> {
    let member = chat.act_in_group(&caller, path.group_id, Act::Join, None).await?;
    Ok(Json(member.standing.into()))
}

/// Leaves a group, or takes a request back
///
/// The chat says so (code 3), and is lost to the caller with its history. The last superadmin cannot leave others alone;
/// when the last member leaves, the group is deleted.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/leave", tag = "groups", operation_id = "leave_group",
    params(GroupPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "The caller is no member."),
        (status = 404, description = "There is no such group (`not_found`)."),
        (status = 409, description = "There would be members and no superadmin (`last_superadmin`)."),
    ),
)]
async fn leave(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Leave, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists members
///
/// Of an open group anyone sees the members, of a closed one its members do. Requests and bans are for admins.
#[utoipa::path(
    get, path = "/v1/groups/{group_id}/members", tag = "groups", operation_id = "list_members",
    params(GroupPath, MemberParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "A page.", body = MemberList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
        (status = 403, description = "This list is for members, or for admins (`forbidden`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
    ),
)]
async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    path: GroupPath,
    StrictQuery(params): StrictQuery<MemberParams>,
) -> Result<Json<MemberList>, Problem> {
    let limit = page_size(params.limit)?;
    let standings = params.state.standings();
    let owner = format!("members {} {:?}", path.group_id, standings.0);
    let after = start_after(params.cursor.as_deref(), |text| decode(text, &owner))?;
    let members = chat.members(&caller, path.group_id, standings, after, limit + 1).await?;
    let key = |row: &MemberRow| format!("{}\n{}", row.standing.stored().unwrap_or_default(), row.user.user_id);
    let (members, next_cursor) = cut(members, limit, |row| KeyCursor(key(row)).encode(&owner));
    Ok(Json(MemberList { members, next_cursor }))
}

/// The standing as it is stored and the user id of the last member of the page before.
fn decode(text: &str, owner: &str) -> Option<(i16, String)> {
    let KeyCursor(key) = KeyCursor::decode(text, owner)?;
    let (standing, user) = key.split_once('\n')?;
    Some((standing.parse().ok()?, user.to_owned()))
}

/// Adds a user to a group, or accepts their request
///
/// Admins may. The chat says so (code 2). A member stays what they are.
#[utoipa::path(
    put, path = "/v1/groups/{group_id}/members/{user_id}", tag = "groups", operation_id = "add_member",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The member.", body = MemberDto),
        (status = 403, description = "The caller is no admin of the group (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
        (status = 409, description = "The user is banned (`user_banned`), or the group is full (`group_full`)."),
    ),
)]
async fn add(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Add, Some(path.user_id)).await?.into()))
}

/// Removes a member from a group, or declines a request
///
/// Admins may, up to their own role. The chat says that a member was removed (code 4), and is lost to them with its
/// history: that entry is the last that their streams receive, then `left`. Of who is neither nothing changes.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}/members/{user_id}", tag = "groups", operation_id = "kick_member",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "The user is no member, and asks for nothing."),
        (status = 403, description = "The caller's role does not reach so far (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
        (status = 409, description = "The group would have no superadmin (`last_superadmin`)."),
    ),
)]
async fn kick(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Kick, Some(path.user_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a member the next higher role
///
/// Admins make members admins, superadmins make admins superadmins. The chat says so (code 5).
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/promote", tag = "groups", operation_id = "promote_member",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The member, with the new role.", body = MemberDto),
        (status = 403, description = "The caller's role does not reach so far (`forbidden`)."),
        (status = 404, description = "There is no such group, user or member (`not_found`)."),
        (status = 409, description = "There is no higher role (`no_further_role`)."),
    ),
)]
async fn promote(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Promote, Some(path.user_id)).await?.into()))
}

/// Gives a member the next lower role
///
/// Admins make admins members, superadmins make superadmins admins. The chat says so (code 9).
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/demote", tag = "groups", operation_id = "demote_member",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The member, with the new role.", body = MemberDto),
        (status = 403, description = "The caller's role does not reach so far (`forbidden`)."),
        (status = 404, description = "There is no such group, user or member (`not_found`)."),
        (status = 409, description = "There is no lower role (`no_further_role`), or the group would have no superadmin \
                                      (`last_superadmin`)."),
    ),
)]
async fn demote(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Demote, Some(path.user_id)).await?.into()))
}

/// Bans a user from a group, member or not
///
/// Admins may, up to their own role. The chat says that a member was banned (code 8), and is lost to them with its
/// history.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/ban", tag = "groups", operation_id = "ban_member",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "The user is banned."),
        (status = 403, description = "The caller's role does not reach so far (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
        (status = 409, description = "The group would have no superadmin (`last_superadmin`)."),
    ),
)]
async fn ban(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Ban, Some(path.user_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts a ban
///
/// Admins may. The user is a stranger to the group then, and may join or ask.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}/bans/{user_id}", tag = "groups", operation_id = "unban_user",
    params(MemberPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "The user is not banned."),
        (status = 403, description = "The caller's role does not reach so far (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
    ),
)]
async fn unban(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Unban, Some(path.user_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
