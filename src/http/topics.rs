//! Topics: joining, leaving, presence.

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

/// The options of a join.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinTopic {
    /// True if the session neither shows its presence on this topic nor receives the presence of others. By default
    /// `false`; if the topic is already joined, a join without this value leaves it unchanged.
    hidden: Option<bool>,
}

/// A topic.
#[derive(Serialize, ToSchema)]
#[schema(as = Topic)]
pub(crate) struct TopicDto {
    id: TopicId,
    #[serde(rename = "type")]
    kind: TopicKind,
    /// The name of a room or a group. Direct messages have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "lobby", nullable = false)]
    name: Option<String>,
    /// The `seq` of the newest entry; 0 if the topic has no entries.
    last_seq: Seq,
}

/// A topic with its details.
#[derive(Serialize, ToSchema)]
#[schema(as = TopicInfo)]
pub(crate) struct TopicInfoDto {
    #[serde(flatten)]
    topic: TopicDto,
    /// The number of sessions that are present.
    #[schema(example = 2)]
    presence_count: usize,
    /// The time at which the topic was created; null for a direct message that nobody has joined or blocked yet.
    #[schema(required)]
    created_at: Option<Millis>,
}

/// A topic that a session has joined.
#[derive(Serialize, ToSchema)]
#[schema(as = Join)]
pub(crate) struct JoinDto {
    topic: TopicDto,
    /// The `seq` of the newest entry at the time of the join. The stream sends every entry after it.
    position: Seq,
    /// True if the session neither shows its presence on this topic nor receives the presence of others.
    hidden: bool,
}

/// The result of a join.
#[derive(Serialize, ToSchema)]
#[schema(as = Joined)]
pub(crate) struct JoinedDto {
    topic: TopicDto,
    /// The presence of the caller's own session.
    #[serde(rename = "self")]
    own: Presence,
    /// The sessions that are present, in the order of session ids. The list is limited; see `truncated`.
    #[schema(value_type = Vec<Presence>)]
    presences: Listed,
    /// The number of sessions that are present, even if the list does not have all of them.
    #[schema(example = 2)]
    presence_count: usize,
    /// True if `presences` does not have all sessions that are present, because there are too many. Absent if it has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    truncated: bool,
    /// The stream sends every entry whose `seq` is greater than this one.
    position: Seq,
}

/// The presences of a view, as its JSON list.
struct Listed(Arc<PresenceView>);

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.list_json().serialize(serializer)
    }
}

/// The topics that a session has joined.
#[derive(Serialize, ToSchema)]
pub(crate) struct JoinList {
    /// The joined topics, in the order of joining.
    topics: Vec<JoinDto>,
    /// Always null: the list has a single page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of the sessions that are present.
#[derive(Serialize, ToSchema)]
pub(crate) struct PresenceList {
    /// The sessions that are present, in the order of session ids.
    presences: Vec<Presence>,
    /// The `cursor` of the next page; null if this page is the last one.
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

/// Lists the topics that this session has joined
#[utoipa::path(
    get, path = "/v1/session/topics", tag = "topics", operation_id = "list_joined",
    responses((status = 200, description = "The topics that this session has joined.", body = JoinList)),
)]
async fn list(State(chat): State<Chat>, caller: Caller) -> Result<Json<JoinList>, Problem> {
    let topics = chat.joins(caller.session).await?.into_iter().map(JoinDto::from).collect();
    Ok(Json(JoinList { topics, next_cursor: None }))
}

/// Joins a topic
///
/// The session's stream, whether it is open already or opened later, sends every entry after `position`. The first join
/// of a room creates it. Joining a topic again changes neither the position nor the order of the joins.
#[utoipa::path(
    put, path = "/v1/session/topics/{topic}", tag = "topics", operation_id = "join_topic",
    params(TopicPath),
    request_body(content = JoinTopic, description = "The options of the join. Leave it out to join with the defaults."),
    extensions(("x-optional-body" = json!(true))),
    responses(
        (status = 200, description = "The session has joined the topic.", body = JoinedDto),
        (status = 403, description = "One of the two users of the direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
        (status = 409, description = "The session has joined as many topics as the service allows (`too_many_joins`)."),
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
/// If the session has not joined the topic, nothing changes.
#[utoipa::path(
    delete, path = "/v1/session/topics/{topic}", tag = "topics", operation_id = "leave_topic",
    params(TopicPath),
    responses(
        (status = 204, description = "The session has not joined the topic any more."),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
    ),
)]
async fn leave(State(chat): State<Chat>, caller: Caller, path: TopicPath) -> Result<StatusCode, Problem> {
    chat.leave(&caller, path.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a topic
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics", operation_id = "read_topic",
    params(TopicPath),
    responses(
        (status = 200, description = "The topic.", body = TopicInfoDto),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
    ),
)]
async fn read(State(chat): State<Chat>, caller: Caller, path: TopicPath) -> Result<Json<TopicInfoDto>, Problem> {
    let TopicInfo { last_seq, name, presence_count, created_at } = chat.topic(&caller, &path.topic).await?;
    Ok(Json(TopicInfoDto { topic: TopicDto::new(path.topic, name, last_seq), presence_count, created_at }))
}

/// Lists the sessions that are present on a topic
///
/// The caller need not have joined the topic.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/presences", tag = "topics", operation_id = "list_presences",
    params(TopicPath, PageParams),
    responses(
        (status = 200, description = "A page of the sessions that are present.", body = PresenceList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
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
