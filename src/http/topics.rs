//! Topics: joining, leaving, who is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{OptionalBody, StrictQuery};
use super::paging::{PageParams, cut, page_size};
use super::path::TopicPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat, Claims, Join, JoinedTopic, TopicInfo};
use crate::live::PresenceView;
use crate::model::cursor::IdCursor;
use crate::model::{Millis, Presence, Seq, TopicId, TopicKind};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(join, leave))
        .routes(routes!(read))
        .routes(routes!(presences))
}

/// How to join.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinTopic {
    /// A hidden session receives and shows no presence. `false` where nothing is said; in a repeated join, nothing
    /// said changes nothing.
    hidden: Option<bool>,
}

/// A topic.
#[derive(Serialize, ToSchema)]
#[schema(as = Topic)]
pub(crate) struct TopicDto {
    id: TopicId,
    #[serde(rename = "type")]
    kind: TopicKind,
    /// A room's or a group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "lobby", nullable = false)]
    name: Option<String>,
    /// The number of the newest entry; 0 where there is none.
    last_seq: Seq,
}

/// A topic by itself.
#[derive(Serialize, ToSchema)]
#[schema(as = TopicInfo)]
pub(crate) struct TopicInfoDto {
    #[serde(flatten)]
    topic: TopicDto,
    /// How many are present.
    #[schema(example = 2)]
    presence_count: usize,
    /// When it was made; null for a direct message that nobody has joined or blocked yet.
    #[schema(required)]
    created_at: Option<Millis>,
}

/// A join.
#[derive(Serialize, ToSchema)]
#[schema(as = Join)]
pub(crate) struct JoinDto {
    topic: TopicDto,
    /// The newest entry when it was joined: the stream carries every entry after it.
    position: Seq,
    /// Whether the session shows no presence there.
    hidden: bool,
}

/// What a join answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Joined)]
pub(crate) struct JoinedDto {
    topic: TopicDto,
    /// The caller's own presence.
    #[serde(rename = "self")]
    own: Presence,
    /// Who is there; where there are more than lists hold, the first of them.
    #[schema(value_type = Vec<Presence>)]
    presences: Listed,
    /// How many are there.
    #[schema(example = 2)]
    presence_count: usize,
    /// Whether the list is not whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    truncated: bool,
    /// The stream carries every entry after this one.
    position: Seq,
}

/// Those whom a view names.
struct Listed(Arc<PresenceView>);

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.list_json().serialize(serializer)
    }
}

/// What a session has joined.
#[derive(Serialize, ToSchema)]
pub(crate) struct JoinList {
    /// In the order of joining.
    topics: Vec<JoinDto>,
    /// Always null: the list is whole.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of those present.
#[derive(Serialize, ToSchema)]
pub(crate) struct PresenceList {
    /// In the order of session ids.
    presences: Vec<Presence>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl TopicDto {
    fn new(id: TopicId, name: Option<String>, last_seq: Seq) -> Self {
        Self { kind: id.kind(), name, last_seq, id }
    }
}

impl From<(Join, Option<String>)> for JoinDto {
    fn from((join, name): (Join, Option<String>)) -> Self {
        let topic = TopicDto::new(join.topic.id, name, join.topic.last_seq);
        Self { topic, position: join.position, hidden: join.hidden }
    }
}

/// Lists what this session has joined
#[utoipa::path(
    get, path = "/v1/session/topics", tag = "topics", operation_id = "list_joined",
    security(("session_token" = [])),
    responses((status = 200, description = "The joins.", body = JoinList)),
)]
async fn list(State(chat): State<Chat>, caller: Caller) -> Result<Json<JoinList>, Problem> {
    let topics = chat.joins(caller.session).await?.into_iter().map(JoinDto::from).collect();
    Ok(Json(JoinList { topics, next_cursor: None }))
}

/// Joins a topic
///
/// A repeat moves nothing. A room is made by its first join. The session's stream, open or opened later, carries every
/// entry after `position`.
#[utoipa::path(
    put, path = "/v1/session/topics/{topic}", tag = "topics", operation_id = "join_topic",
    params(TopicPath),
    request_body(content = JoinTopic, description = "May be left out."),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "Joined.", body = JoinedDto),
        (status = 403, description = "One of the direct message's two users blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
        (status = 409, description = "The session has joined as many topics as it may (`too_many_joins`)."),
    ),
)]
async fn join(
    State(chat): State<Chat>,
    claims: Claims,
    path: Result<TopicPath, Problem>,
    OptionalBody(body): OptionalBody<JoinTopic>,
) -> Result<Json<JoinedDto>, Problem> {
    if path.is_err() {
        chat.caller(&claims).await?; // a session that has ended is 401 whatever the path is
    }
    let JoinedTopic { join, own, name, present } = chat.join(&claims, path?.topic, body.hidden).await?;
    Ok(Json(JoinedDto {
        topic: TopicDto::new(join.topic.id, name, join.topic.last_seq),
        own,
        truncated: present.is_truncated(),
        presence_count: present.count(),
        presences: Listed(present),
        position: join.position,
    }))
}

/// Leaves a topic
///
/// Where it was not joined, nothing happens.
#[utoipa::path(
    delete, path = "/v1/session/topics/{topic}", tag = "topics", operation_id = "leave_topic",
    params(TopicPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "Left."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
    ),
)]
async fn leave(State(chat): State<Chat>, caller: Caller, path: TopicPath) -> Result<StatusCode, Problem> {
    chat.leave(&caller, path.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a topic
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics", operation_id = "read_topic",
    params(TopicPath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The topic.", body = TopicInfoDto),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
    ),
)]
async fn read(State(chat): State<Chat>, caller: Caller, path: TopicPath) -> Result<Json<TopicInfoDto>, Problem> {
    let TopicInfo { last_seq, name, presence_count, created_at } = chat.topic(&caller, &path.topic).await?;
    Ok(Json(TopicInfoDto { topic: TopicDto::new(path.topic, name, last_seq), presence_count, created_at }))
}

/// Lists who is present on a topic
///
/// No join is needed.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/presences", tag = "topics", operation_id = "list_presences",
    params(TopicPath, PageParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "Who is there.", body = PresenceList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
    ),
)]
async fn presences(
    State(chat): State<Chat>,
    caller: Caller,
    path: TopicPath,
    StrictQuery(page): StrictQuery<PageParams>,
) -> Result<Json<PresenceList>, Problem> {
    let limit = page_size(page.limit)?;
    let presences = chat.presences(&caller, &path.topic, page.cursor.as_deref(), limit + 1).await?;
    let cursor = |presence: &Presence| IdCursor(presence.session_id.0).encode(path.topic.as_str());
    let (presences, next_cursor) = cut(presences, limit, cursor);
    Ok(Json(PresenceList { presences, next_cursor }))
}
