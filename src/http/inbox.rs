//! The inbox, and read marks.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Body, Integer, StrictQuery};
use super::paging::{PageParams, page_size};
use super::path::TopicPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat, ChatError, InboxPage, InboxTopic};
use crate::model::{Message, Seq, TopicId, TopicKind, User};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(mark_read))
}

/// A topic of the inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxTopic)]
pub(crate) struct InboxTopicDto {
    topic: TopicId,
    #[serde(rename = "type")]
    kind: TopicKind,
    /// A group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Book club", nullable = false)]
    name: Option<String>,
    /// The other user of a direct message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<User>,
    /// The number of the newest entry; 0 where there is none.
    last_seq: Seq,
    /// The newest entry that history shows, as it is now; null where there is none, or none any more.
    #[schema(required)]
    last_message: Option<Message>,
    /// The last entry that the caller has read; 0 where they have read none.
    read_seq: Seq,
    /// How many entries lie behind that.
    #[schema(minimum = 0, example = 3)]
    unread: i64,
}

/// A page of the inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxList {
    /// Latest first.
    topics: Vec<InboxTopicDto>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// How far the caller has read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkRead {
    /// The last entry that they have read.
    #[schema(value_type = i64, minimum = 0, example = 42)]
    seq: Integer<i64>,
}

/// A read mark.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadMark)]
pub(crate) struct ReadMarkDto {
    topic: TopicId,
    /// The number of the newest entry; 0 where there is none.
    last_seq: Seq,
    /// The last entry that the caller has read.
    read_seq: Seq,
    /// How many entries lie behind that.
    #[schema(minimum = 0, example = 3)]
    unread: i64,
}

impl From<InboxTopic> for InboxTopicDto {
    fn from(topic: InboxTopic) -> Self {
        Self {
            kind: topic.id.kind(),
            topic: topic.id,
            name: topic.name,
            user: topic.other,
            last_seq: topic.mark.last_seq,
            last_message: topic.last_message,
            read_seq: topic.mark.read_seq,
            unread: topic.mark.unread(),
        }
    }
}

/// Lists what the caller has to read
///
/// The groups that they are a member of and the direct messages that have any, latest first; whatever their sessions
/// have joined. A topic that moves up while pages are turned may be missed by the later ones: its first page has it.
#[utoipa::path(
    get, path = "/v1/me/topics", tag = "topics", operation_id = "list_inbox",
    params(PageParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "A page of the inbox.", body = InboxList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
    ),
)]
async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    StrictQuery(page): StrictQuery<PageParams>,
) -> Result<Json<InboxList>, Problem> {
    let limit = page_size(page.limit)?;
    let InboxPage { topics, next } = chat.inbox(&caller, page.cursor.as_deref(), limit).await?;
    Ok(Json(InboxList { topics: topics.into_iter().map(InboxTopicDto::from).collect(), next_cursor: next }))
}

/// Moves the caller's read mark
///
/// It is theirs on all devices, moves forward only, and at most to the end; to send moves it to one's own message. No
/// join is needed.
#[utoipa::path(
    put, path = "/v1/topics/{topic}/read", tag = "topics", operation_id = "mark_read",
    params(TopicPath),
    request_body = MarkRead,
    security(("session_token" = [])),
    responses(
        (status = 200, description = "Where the mark stands now.", body = ReadMarkDto),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
    ),
)]
async fn mark_read(
    State(chat): State<Chat>,
    caller: Caller,
    path: TopicPath,
    Body(MarkRead { seq: Integer(seq) }): Body<MarkRead>,
) -> Result<Json<ReadMarkDto>, Problem> {
    if seq < 0 {
        return Err(ChatError::invalid("seq must not be negative").into());
    }
    let mark = chat.mark_read(&caller, &path.topic, Seq(seq)).await?;
    let unread = mark.unread();
    Ok(Json(ReadMarkDto { topic: path.topic, last_seq: mark.last_seq, read_seq: mark.read_seq, unread }))
}
