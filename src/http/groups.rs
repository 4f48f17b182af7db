//! Groups: creating, finding, changing and deleting them.

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
use crate::chat::{Caller, Chat, CreateGroup, GroupCursor, GroupPatch, GroupQuery, GroupRow};
use crate::model::cursor::{IdCursor, KeyCursor};
use crate::model::group::{Role, Standing};
use crate::model::text::lower_case;
use crate::model::{GroupId, Millis, TopicId};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change, delete)).routes(routes!(mine))
}

/// The group to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// The name of the group: 1 to 100 characters without control characters. It need not be unique.
    #[schema(example = "Gardeners", min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
    /// The subject of the group: at most 500 characters on one line. By default empty.
    #[schema(example = "Everything that grows", max_length = 500, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    description: Option<String>,
    /// True if any user may join the group; false if they request to join and an admin accepts. By default `true`.
    open: Option<bool>,
    /// The largest number of members. By default 100.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000, example = 100)]
    max_members: Option<Integer<u32>>,
}

/// The changes to make to a group. A member that is absent or null is not changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchGroup {
    /// The new name: 1 to 100 characters without control characters.
    #[schema(example = "Gardeners", min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: Option<String>,
    /// The new subject of the group: at most 500 characters on one line. An empty text removes it.
    #[schema(example = "Everything that grows", max_length = 500, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    description: Option<String>,
    /// True if any user may join the group. Opening a group does not accept the requests that it already has.
    open: Option<bool>,
    /// The largest number of members. If the group has more, they stay, and no further user can join.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    max_members: Option<Integer<u32>>,
}

/// A group, with the state and role of the caller in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupDto {
    id: GroupId,
    /// The id of the topic that is the chat of the group.
    #[schema(example = "group:019aafcd-0a41-7c3e-8f52-9b1d3e5f7a90")]
    topic: TopicId,
    #[schema(example = "Gardeners")]
    name: String,
    #[schema(example = "Everything that grows")]
    description: String,
    /// True if any user may join the group; false if they request to join and an admin accepts.
    open: bool,
    /// The largest number of members.
    #[schema(example = 100)]
    max_members: u32,
    /// The present number of members.
    #[schema(example = 2)]
    member_count: u32,
    created_at: Millis,
    #[serde(flatten)]
    caller: StandingDto,
}

/// The state and role of a user in a group. Both are absent for a user who has nothing to do with the group.
#[derive(Serialize, ToSchema)]
#[schema(as = Standing)]
pub(crate) struct StandingDto {
    /// The state of the user in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<MemberState>,
    /// The role of a member; absent for other users.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<Role>,
}

/// The state of a user in a group: `member`, `requested` (they wait for an admin to accept them) or `banned`.
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MemberState {
    /// Belongs to the group.
    #[default]
    Member,
    /// Has requested to join and was not accepted yet.
    Requested,
    /// Is banned and cannot join.
    Banned,
}

/// The state of the caller in a group: `member` or `requested`.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MyState {
    /// Belongs to the group.
    #[default]
    Member,
    /// Has requested to join and was not accepted yet.
    Requested,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupList {
    groups: Vec<GroupDto>,
    /// The `cursor` of the next page; null if this page is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The query parameters of the search for groups.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupParams {
    /// The beginning of the names of the groups, in upper or lower case. By default all groups are listed.
    #[param(max_length = 100, example = "gard", pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    prefix: Option<String>,
    /// The largest number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page. Without it, the list starts at its first item.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// The query parameters of the list of the caller's groups.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MyGroupParams {
    /// `member` for the groups that the caller is a member of, `requested` for the groups that they have requested to join.
    /// By default `member`.
    #[serde(default)]
    #[param(inline)]
    state: MyState,
    /// The largest number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page. Without it, the list starts at its first item.
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
    /// The highest and the lowest standing with this state.
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

/// Creates a group
///
/// The caller becomes its first member and superadmin. The chat of the group is the topic `group:GROUP_ID`.
#[utoipa::path(
    post, path = "/v1/groups", tag = "groups", operation_id = "create_group",
    request_body = NewGroup,
    responses((status = 201, description = "The new group.", body = GroupDto)),
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

/// Finds groups by the beginning of their names
///
/// Closed groups are listed, too. The order is by name in lower case, then by id.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups", operation_id = "list_groups",
    params(GroupParams),
    responses(
        (status = 200, description = "A page of groups.", body = GroupList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
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
fn decode(text: &str, owner: &str) -> Option<GroupCursor> {
    let KeyCursor(key) = KeyCursor::decode(text, owner)?;
    let (name, id) = key.split_once('\n')?;
    Some((name.to_owned(), GroupId::parse(id)?))
}

/// Returns a group
#[utoipa::path(
    get, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "read_group",
    params(GroupPath),
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
/// The caller must be an admin or superadmin of the group.
#[utoipa::path(
    patch, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "patch_group",
    params(GroupPath),
    request_body = PatchGroup,
    responses(
        (status = 200, description = "The group after the change.", body = GroupDto),
        (status = 403, description = "The caller is not an admin of the group (`forbidden`)."),
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
/// The caller must be a superadmin of the group. Its topic is deleted with all messages; streams get `left` with the
/// reason `group_deleted`.
#[utoipa::path(
    delete, path = "/v1/groups/{group_id}", tag = "groups", operation_id = "delete_group",
    params(GroupPath),
    responses(
        (status = 204, description = "The group is deleted."),
        (status = 403, description = "The caller is not a superadmin of the group (`forbidden`)."),
        (status = 404, description = "There is no such group (`not_found`)."),
    ),
)]
async fn delete(State(chat): State<Chat>, caller: Caller, path: GroupPath) -> Result<StatusCode, Problem> {
    chat.delete_group(&caller, path.group_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the caller's groups
///
/// The order is by id: the oldest group first.
#[utoipa::path(
    get, path = "/v1/me/groups", tag = "groups", operation_id = "list_my_groups",
    params(MyGroupParams),
    responses(
        (status = 200, description = "A page of groups, with the state and role of the caller in each.", body = GroupList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
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
