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

/// A topic in the inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxTopic)]
pub(crate) struct InboxTopicDto {
    topic: TopicId,
    #[serde(rename = "type")]
    kind: TopicKind,
    /// The name of a group. Direct messages have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Book club", nullable = false)]
    name: Option<String>,
    /// The other user of a direct message. Groups have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<User>,
    /// The `seq` of the newest entry; 0 if the topic has no entries.
    last_seq: Seq,
    /// The newest message in the history, in its present state; null if the history has none, or none any more.
    #[schema(required)]
    last_message: Option<Message>,
    /// The read mark: the `seq` of the last entry that the caller has read; 0 if they have read none.
    read_seq: Seq,
    /// The number of entries after the read mark.
    #[schema(minimum = 0, example = 3)]
    unread: i64,
}

/// A page of the inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxList {
    /// The topics, the one with the newest entry first.
    topics: Vec<InboxTopicDto>,
    /// The `cursor` of the next page; null if this page is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The new read mark.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkRead {
    /// The `seq` of the last entry that the caller has read. A value after the newest entry counts as the newest entry.
    #[schema(value_type = i64, minimum = 0, example = 42)]
    seq: Integer<i64>,
}

/// A read mark: the last entry that a user has read in a topic.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadMark)]
pub(crate) struct ReadMarkDto {
    topic: TopicId,
    /// The `seq` of the newest entry; 0 if the topic has no entries.
    last_seq: Seq,
    /// The read mark: the `seq` of the last entry that the caller has read.
    read_seq: Seq,
    /// The number of entries after the read mark.
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

/// Lists the inbox of the caller
///
/// The inbox has the groups that the caller is a member of and their direct messages that have entries, whether or not a
/// session has joined them. The topic with the newest entry comes first. A topic that moves up while you read page after
/// page may be missing in the later pages; a new first page has it.
#[utoipa::path(
    get, path = "/v1/me/topics", tag = "topics", operation_id = "list_inbox",
    params(PageParams),
    responses(
        (status = 200, description = "A page of the inbox.", body = InboxList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
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
/// The read mark is the same on all devices of the user. It only moves forward, and not beyond the newest entry. Sending a
/// message moves it to that message. The caller need not have joined the topic.
#[utoipa::path(
    put, path = "/v1/topics/{topic}/read", tag = "topics", operation_id = "mark_read",
    params(TopicPath),
    request_body = MarkRead,
    responses(
        (status = 200, description = "The read mark after this call.", body = ReadMarkDto),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
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
