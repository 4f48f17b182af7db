//! Groups: making, finding, changing and deleting them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Body, Integer, StrictQuery};
use super::paging::{cut, page_size, start_after};
use super::path::GroupPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat, CreateGroup, GroupPatch, GroupPlace, GroupQuery, GroupRow};
use crate::model::cursor::{IdCursor, KeyCursor};
use crate::model::group::{Role, Standing};
use crate::model::text::lower_case;
use crate::model::{GroupId, Millis, TopicId};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change, delete)).routes(routes!(mine))
}

/// What a group shall be made with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// 1 to 100 characters without control characters; not unique.
    #[schema(example = "Gardeners", min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
    /// What it is about, on one line; empty where nothing is said.
    #[schema(example = "Everything that grows", max_length = 500, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    description: Option<String>,
    /// Whether anyone may join; otherwise they ask, and an admin accepts. `true` where nothing is said.
    open: Option<bool>,
    /// How many members it takes; 100 where nothing is said.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000, example = 100)]
    max_members: Option<Integer<u32>>,
}

/// What is to be changed of a group; what is left out, or null, stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchGroup {
    /// 1 to 100 characters without control characters.
    #[schema(example = "Gardeners", min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: Option<String>,
    /// What it is about, on one line; an empty text takes it away.
    #[schema(example = "Everything that grows", max_length = 500, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    description: Option<String>,
    /// Whether anyone may join. Requests stay requests, also in a group that was opened.
    open: Option<bool>,
    /// How many members it takes. Nobody has to go when there are more.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    max_members: Option<Integer<u32>>,
}

/// A group, as the caller sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupDto {
    id: GroupId,
    /// Its chat.
    #[schema(example = "group:019aafcd-0a41-7c3e-8f52-9b1d3e5f7a90")]
    topic: TopicId,
    #[schema(example = "Gardeners")]
    name: String,
    #[schema(example = "Everything that grows")]
    description: String,
    /// Whether anyone may join.
    open: bool,
    /// How many members it takes.
    #[schema(example = 100)]
    max_members: u32,
    /// How many it has.
    #[schema(example = 2)]
    member_count: u32,
    created_at: Millis,
    #[serde(flatten)]
    caller: StandingDto,
}

/// What a user is to a group; nothing of it for a stranger.
#[derive(Serialize, ToSchema)]
#[schema(as = Standing)]
pub(crate) struct StandingDto {
    /// Whether they belong to it, ask to, or may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<MemberState>,
    /// The role of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<Role>,
}

/// Whether somebody belongs to a group, asks to, or may not.
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MemberState {
    /// Belongs to it.
    #[default]
    Member,
    /// Asks to join.
    Requested,
    /// May not come in.
    Banned,
}

/// Whether the caller belongs to a group or asks to.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MyState {
    /// Belongs to it.
    #[default]
    Member,
    /// Asks to join.
    Requested,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupList {
    groups: Vec<GroupDto>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Which groups.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupParams {
    /// How their names begin, in upper or lower case.
    #[param(max_length = 100, example = "gard", pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    prefix: Option<String>,
    /// How many items at most.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// Which of the caller's groups.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MyGroupParams {
    /// Those that the caller belongs to, or those that they ask to join; `member` where nothing is said.
    #[serde(default)]
    #[param(inline)]
    state: MyState,
    /// How many items at most.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

impl From<Standing> for StandingDto {
    fn from(standing: Standing) -> Self {
        let state = match standing {
            Standing::Superadmin | Standing::Admin | Standing::Member => Some(MemberState::Member),
            Standing::Requested => Some(MemberState::Requested),
            Standing::Banned => Some(MemberState::Banned),
            Standing::Stranger => None,
        };
        Self { state, role: standing.role() }
    }
}

impl MemberState {
    /// The standings that it covers, from the highest to the lowest.
    pub(super) fn standings(self) -> (Standing, Standing) {
        match self {
            Self::Member => (Standing::Superadmin, Standing::Member),
            Self::Requested => (Standing::Requested, Standing::Requested),
            Self::Banned => (Standing::Banned, Standing::Banned),
        }
    }
}

impl From<GroupRow> for GroupDto {
    fn from(row: GroupRow) -> Self {
        Self {
            id: row.id,
            topic: TopicId::group(row.id),
            name: row.name,
            description: row.description,
            open: row.open,
            max_members: row.max_members,
            member_count: row.members,
            created_at: row.created_at,
            caller: row.standing.into(),
        }
    }
}

/// Makes a group
///
/// The caller is its first member and superadmin. Its chat is the topic `group:` and its id.
#[utoipa::path(
    post, path = "/v1/groups", tag = "groups", operation_id = "create_group",
    request_body = NewGroup,
    security(("session_token" = [])),
    responses((status = 201, description = "The group.", body = GroupDto)),
)]
async fn create(
    State(chat): State<Chat>,
    caller: Caller,
    Body(body): Body<NewGroup>,
) -> Result<(StatusCode, Json<GroupDto>), Problem> {
    let NewGroup { name, description, open, max_members } = body;
    let max_members = max_members.map(|Integer(number)| number);
    let group = chat.create_group(&caller, CreateGroup { name, description, open, max_members }).await?;
    Ok((StatusCode::CREATED, Json(group.into())))
}

/// Finds groups by the beginning of their name
///
/// Closed groups are found as well. In the order of their names in lower case, then of their ids.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups", operation_id = "list_groups",
    params(GroupParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "A page.", body = GroupList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
    ),
)]
async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    StrictQuery(params): StrictQuery<GroupParams>,
) -> Result<Json<GroupList>, Problem> {
    let limit = page_size(params.limit)?;
    let prefix = params.prefix.unwrap_or_default();
    let owner = format!("groups {prefix}");
    let after = start_after(params.cursor.as_deref(), |text| decode(text, &owner))?;
    let groups = chat.groups(&caller, GroupQuery { prefix, after, limit: limit + 1 }).await?;
    let cursor = |row: &GroupRow| KeyCursor(format!("{}\n{}", lower_case(&row.name), row.id)).encode(&owner);
    let (groups, next_cursor) = cut(groups, limit, cursor);
    Ok(Json(GroupList { groups, next_cursor }))
}

/// The name in lower case and the id of the last group of the page before.
fn decode(text: &str, owner: &str) -> Option<GroupPlace> {
    let KeyCursor(key) = KeyCursor::decode(text, owner)?;
    let (name, id) = key.split_once('\n')?;
    Some((name.to_owned(), GroupId::parse(id)?))
}

/// Reads a group
#[utoipa::path(
    get, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "read_group",
    params(GroupPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The group.", body = GroupDto),
        (status = 404, description = "There is no such group (`not_found`)."),
    ),
)]
async fn read(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<Json<GroupDto>, Problem> {
    Ok(Json(chat.group(&caller, path.group_id).await?.into()))
}

/// Changes a group
///
/// Admins may.
#[utoipa::path(
    patch, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "patch_group",
    params(GroupPath),
    request_body = PatchGroup,
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The group as it is now.", body = GroupDto),
        (status = 403, description = "The caller is no admin of the group (`forbidden`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
    ),
)]
async fn change(
    State(chat): State<Chat>,
    caller: Caller,
    path: GroupPath,
    Body(body): Body<PatchGroup>,
) -> Result<Json<GroupDto>, Problem> {
    let PatchGroup { name, description, open, max_members } = body;
    let max_members = max_members.map(|Integer(number)| number);
    let patch = GroupPatch { name, description, open, max_members };
    Ok(Json(chat.change_group(&caller, path.group_id, patch).await?.into()))
}

/// Deletes a group
///
/// Superadmins may. Its topic goes with it, and everything that was said there; streams receive `left` with the reason
/// `group_deleted`.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "delete_group",
    params(GroupPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "Deleted."),
        (status = 403, description = "The caller is no superadmin of the group (`forbidden`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
    ),
)]
async fn delete(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<StatusCode, Problem> {
    chat.delete_group(&caller, path.group_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the caller's groups
///
/// In the order of their ids: the oldest first.
#[utoipa::path(
    get, path = "/v1/me/groups", tag = "groups", operation_id = "list_my_groups",
    params(MyGroupParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "A page, with the caller's role in each.", body = GroupList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
    ),
)]
async fn mine(
    State(chat): State<Chat>,
    caller: Caller,
    StrictQuery(params): StrictQuery<MyGroupParams>,
) -> Result<Json<GroupList>, Problem> {
    let limit = page_size(params.limit)?;
    let (state, list) = match params.state {
        MyState::Member => (MemberState::Member, "groups"),
        MyState::Requested => (MemberState::Requested, "requests"),
    };
    let owner = format!("{list} of {}", caller.user.user_id);
    let after = start_after(params.cursor.as_deref(), |text| Some(GroupId(IdCursor::decode(text, &owner)?.0)))?;
    let groups = chat.my_groups(&caller, state.standings(), after, limit + 1).await?;
    let (groups, next_cursor) = cut(groups, limit, |row| IdCursor(row.id.0).encode(&owner));
    Ok(Json(GroupList { groups, next_cursor }))
}
