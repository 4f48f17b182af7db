//! Members of groups: joining and leaving, and the actions of admins.

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

/// A user with their state and role in a group.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberDto {
    user: User,
    #[serde(flatten)]
    standing: StandingDto,
    /// The time since which the user has had this state.
    since: Millis,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberList {
    /// The members, in the order of roles, the highest first, then of user ids.
    members: Vec<MemberDto>,
    /// The `cursor` of the next page; null if this page is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The query parameters of the list of members.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MemberParams {
    /// `member` for the members, `requested` for the users who have requested to join, `banned` for the banned users. By
    /// default `member`.
    #[serde(default)]
    #[param(inline)]
    state: MemberState,
    /// The largest number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page. Without it, the list starts at its first item.
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
/// In an open group the caller becomes a member at once, and the chat gets an entry of code 1. In a closed group this is a
/// request, which an admin accepts or declines. Joining again changes nothing.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/join", tag = "groups", operation_id = "join_group",
    params(GroupPath),
    responses(
        (status = 200, description = "The caller is a member now, or has requested to become one.", body = StandingDto),
        (status = 403, description = "The caller is banned from the group (`banned`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
        (status = 409, description = "The group is full (`group_full`)."),
    ),
)]
async fn join(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<Json<StandingDto>, Problem> {
    let member = chat.act_in_group(&caller, path.group_id, Act::Join, None).await?;
    Ok(Json(member.standing.into()))
}

/// Leaves a group, or withdraws a request
///
/// The chat gets an entry of code 3, and the caller loses access to the chat and its history. The last superadmin cannot
/// leave while there are other members. When the last member leaves, the group is deleted.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/leave", tag = "groups", operation_id = "leave_group",
    params(GroupPath),
    responses(
        (status = 204, description = "The caller is not a member, and has no request."),
        (status = 404, description = "There is no such group (`not_found`)."),
        (status = 409, description = "The other members would have no superadmin (`last_superadmin`)."),
    ),
)]
async fn leave(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Leave, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the members of a group
///
/// Any user can list the members of an open group, only members those of a closed group. Only admins can list requests and
/// bans.
#[utoipa::path(
    get, path = "/v1/groups/{group_id}/members", tag = "groups", operation_id = "list_members",
    params(GroupPath, MemberParams),
    responses(
        (status = 200, description = "A page of members.", body = MemberList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
        (status = 403, description = "Only members, or only admins, can read this list (`forbidden`)."),
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
/// The caller must be an admin or superadmin. The chat gets an entry of code 2. If the user is a member already, nothing
/// changes.
#[utoipa::path(
    put, path = "/v1/groups/{group_id}/members/{user_id}", tag = "groups", operation_id = "add_member",
    params(MemberPath),
    responses(
        (status = 200, description = "The member.", body = MemberDto),
        (status = 403, description = "The caller is not an admin of the group (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
        (status = 409, description = "The user is banned (`user_banned`), or the group is full (`group_full`)."),
    ),
)]
async fn add(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Add, Some(path.user_id)).await?.into()))
}

/// Removes a member from a group, or declines a request
///
/// The caller must be an admin or superadmin, and the user's role must not be higher than the caller's. For a member, the
/// chat gets an entry of code 4, and the user loses access to the chat and its history: their streams get this entry as
/// the last one, then `left`. If the user is not a member and has no request, nothing changes.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}/members/{user_id}", tag = "groups", operation_id = "kick_member",
    params(MemberPath),
    responses(
        (status = 204, description = "The user is not a member, and has no request."),
        (status = 403, description = "The role of the caller does not permit this (`forbidden`)."),
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
/// Admins and superadmins can make a member an admin; only superadmins can make an admin a superadmin. The chat gets an
/// entry of code 5.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/promote", tag = "groups", operation_id = "promote_member",
    params(MemberPath),
    responses(
        (status = 200, description = "The member with the new role.", body = MemberDto),
        (status = 403, description = "The role of the caller does not permit this (`forbidden`)."),
        (status = 404, description = "There is no such group, user or member (`not_found`)."),
        (status = 409, description = "There is no higher role (`no_further_role`)."),
    ),
)]
async fn promote(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Promote, Some(path.user_id)).await?.into()))
}

/// Gives a member the next lower role
///
/// Admins and superadmins can make an admin a member; only superadmins can make a superadmin an admin. The chat gets an
/// entry of code 9.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/demote", tag = "groups", operation_id = "demote_member",
    params(MemberPath),
    responses(
        (status = 200, description = "The member with the new role.", body = MemberDto),
        (status = 403, description = "The role of the caller does not permit this (`forbidden`)."),
        (status = 404, description = "There is no such group, user or member (`not_found`)."),
        (status = 409, description = "There is no lower role (`no_further_role`), or the group would have no superadmin \
                                      (`last_superadmin`)."),
    ),
)]
async fn demote(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<Json<MemberDto>, Problem> {
    Ok(Json(chat.act_in_group(&caller, path.group_id, Act::Demote, Some(path.user_id)).await?.into()))
}

/// Bans a user from a group, whether or not they are a member
///
/// The caller must be an admin or superadmin, and the user's role must not be higher than the caller's. For a member, the
/// chat gets an entry of code 8, and the user loses access to the chat and its history.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/members/{user_id}/ban", tag = "groups", operation_id = "ban_member",
    params(MemberPath),
    responses(
        (status = 204, description = "The user is banned."),
        (status = 403, description = "The role of the caller does not permit this (`forbidden`)."),
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
/// The caller must be an admin or superadmin. The user does not become a member, but may join or request to join again.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}/bans/{user_id}", tag = "groups", operation_id = "unban_user",
    params(MemberPath),
    responses(
        (status = 204, description = "The user is not banned."),
        (status = 403, description = "The role of the caller does not permit this (`forbidden`)."),
        (status = 404, description = "There is no such group or user (`not_found`)."),
    ),
)]
async fn unban(State(chat): State<Chat>, caller: Caller, path: MemberPath) -> Result<StatusCode, Problem> {
    chat.act_in_group(&caller, path.group_id, Act::Unban, Some(path.user_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
