//! Messages: sending, editing, removing, and history.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Body, IdempotencyKey, StrictQuery};
use super::json::JsonBytes;
use super::paging::page_size;
use super::path::{MessagePath, TopicPath};
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Chat, ChatError, Claims, HistoryPage, HistoryQuery, HistoryStart, NewMessage, SendOutcome};
use crate::model::cursor::Direction;
use crate::model::message::EphemeralMessage;
use crate::model::{Message, Millis, Seq, TopicId};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(send, history)).routes(routes!(read, edit, remove))
}

/// What to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"content": {"text": "hello"}}))]
pub(crate) struct SendMessage {
    /// Any JSON value, `null` included. It comes back as it was sent, less white space outside strings.
    #[schema(value_type = Value)]
    content: Box<RawValue>,
    /// For those only who listen at this moment: stored nowhere. `false` where nothing is said.
    ephemeral: Option<bool>,
}

/// What a message shall say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"content": {"text": "hello again"}}))]
pub(crate) struct EditMessage {
    /// As that of a message that is sent.
    #[schema(value_type = Value)]
    content: Box<RawValue>,
}

/// A page of history.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageList {
    /// In the order of the direction.
    messages: Vec<Message>,
    /// Leads on. Null where the direction has ended; forward it stays valid, for polling.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Leads back, in the same order; null where there is nothing.
    #[schema(required)]
    prev_cursor: Option<String>,
}

/// Which page of history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Newest first, or oldest first; `backward` where nothing is said.
    #[serde(default)]
    #[param(inline)]
    direction: Direction,
    /// How many messages at most.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// A `next_cursor` or `prev_cursor` of this topic and direction.
    #[param(example = "Yh5Kx1m0cUkAAAAAAAAAKg", pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// The first page starts at this entry.
    #[param(minimum = 0, example = 42)]
    at_seq: Option<i64>,
    /// The first page starts at this time (RFC 3339): backward with the last entry made by then, forward with the
    /// first made then or later.
    #[param(format = DateTime, example = "2026-01-31T09:30:00.000Z")]
    at_time: Option<String>,
    /// Whether edits and removals (codes 6 and 7) are listed as well. A page's cursors go on with either.
    #[serde(default)]
    #[param(default = false, example = true)]
    changes: bool,
}

/// Sends a message
///
/// The answer is the acknowledgement: the message is stored, has its place in the topic's order, and is on its way to
/// everyone present. The session must have joined the topic.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/messages", tag = "messages", operation_id = "send_message",
    params(
        TopicPath,
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
         description = "Within 24 hours a repeat with the same key and content, by the same user in the same topic, \
                        answers with the first message instead of sending again."),
    ),
    request_body = SendMessage,
    security(("session_token" = [])),
    responses(
        (status = 201, description = "Stored.", body = Message),
        (status = 200, description = "Stored earlier, under the same Idempotency-Key.", body = Message),
        (status = 202, description = "Ephemeral, and delivered.", body = EphemeralMessage),
        (status = 403, description = "One of the direct message's two users blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
        (status = 409, description = "The session has not joined the topic (`not_joined`)."),
        (status = 413, description = "The content is longer than the service takes (`content_too_large`), or the body \
                                      is (`body_too_large`)."),
        (status = 422, description = "A wrong value (`invalid`), or an Idempotency-Key that was used with another content \
                                      (`idempotency_key_reused`)."),
    ),
)]
async fn send(
    State(shared): State<Shared>,
    claims: Claims,
    path: TopicPath,
    IdempotencyKey(key): IdempotencyKey,
    Body(message): Body<SendMessage>,
) -> Result<Response, Problem> {
    shared.rates.check_send(claims.session)?;
    let SendMessage { content, ephemeral } = message;
    let new_message = NewMessage { content, ephemeral: ephemeral.unwrap_or(false), key };
    let outcome = shared.chat.send(&claims, path.topic, new_message).await?;
    Ok(match outcome {
        SendOutcome::Stored(message) => (StatusCode::CREATED, JsonBytes(message)),
        SendOutcome::Repeated(message) => (StatusCode::OK, JsonBytes(message)),
        SendOutcome::Delivered(message) => (StatusCode::ACCEPTED, JsonBytes(message)),
    }
    .into_response())
}

/// Reads history
///
/// No join is needed, and reading makes no presence. Pages neither repeat nor skip an entry, whatever is sent meanwhile.
/// Messages are shown as they are now: edited, or without their content where they were removed. The edits and removals
/// themselves, which a stream carries, are left out unless `changes=true`.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages", tag = "messages", operation_id = "read_history",
    params(TopicPath, HistoryParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "A page.", body = MessageList,
         headers(("link" = String, description = "The other pages, as `next` and `prev` (RFC 8288)."))),
        (status = 400, description = "The cursor is not of this topic and direction (`bad_cursor`)."),
        (status = 404, description = "There is no such topic for the caller (`not_found`)."),
    ),
)]
async fn history(
    State(chat): State<Chat>,
    caller: Caller,
    path: TopicPath,
    StrictQuery(params): StrictQuery<HistoryParams>,
) -> Result<(HeaderMap, Json<MessageList>), Problem> {
    let query = query(params)?;
    let HistoryPage { messages, next, prev } = chat.history(&caller, &path.topic, &query).await?;
    let mut headers = HeaderMap::new();
    for (cursor, rel) in [(&next, "next"), (&prev, "prev")] {
        if let Some(link) = cursor.as_ref().and_then(|cursor| link(&path.topic, &query, cursor, rel)) {
            headers.append(header::LINK, link);
        }
    }
    Ok((headers, Json(MessageList { messages, next_cursor: next, prev_cursor: prev })))
}

/// Reads one message
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "read_message",
    params(MessagePath),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The message.", body = Message),
        (status = 404, description = "There is no such topic or message for the caller (`not_found`)."),
    ),
)]
async fn read(State(chat): State<Chat>, caller: Caller, path: MessagePath) -> Result<Json<Message>, Problem> {
    Ok(Json(chat.message(&caller, &path.topic, path.message_id).await?))
}

/// Edits a message
///
/// Only its author may. The message gets the new content and `edited_at`, and the topic an entry of code 6 with the
/// content `{"message_id", "seq", "content"}`, which streams carry. No join is needed. Counts as a send.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "edit_message",
    params(MessagePath),
    request_body = EditMessage,
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The message as it is now.", body = Message),
        (status = 403, description = "It is not the caller's own, or not a message that somebody has sent (`forbidden`); \
                                      or one of the two users of a direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic or message for the caller (`not_found`)."),
        (status = 409, description = "The message has been removed (`message_removed`)."),
        (status = 413, description = "The content is longer than the service takes (`content_too_large`), or the body \
                                      is (`body_too_large`)."),
    ),
)]
async fn edit(
    State(shared): State<Shared>,
    caller: Caller,
    path: MessagePath,
    Body(EditMessage { content }): Body<EditMessage>,
) -> Result<Json<Message>, Problem> {
    shared.rates.check_send(caller.session)?;
    Ok(Json(shared.chat.edit(&caller, path.topic, path.message_id, &content).await?))
}

/// Removes a message
///
/// Its author may, and in a group the admins, whoever sent it. The message loses its content and gets `removed_at`, its
/// earlier edits lose theirs, and the topic gets an entry of code 7 with the content `{"message_id", "seq"}`, which
/// streams carry. A repeat changes nothing. No join is needed. Counts as a send.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "remove_message",
    params(MessagePath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "Removed, now or earlier."),
        (status = 403, description = "The caller is neither its author nor an admin of the group, or it is not a message \
                                      that somebody has sent (`forbidden`)."),
        (status = 404, description = "There is no such topic or message for the caller (`not_found`)."),
    ),
)]
async fn remove(State(shared): State<Shared>, caller: Caller, path: MessagePath) -> Result<StatusCode, Problem> {
    shared.rates.check_send(caller.session)?;
    shared.chat.remove(&caller, path.topic, path.message_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn query(params: HistoryParams) -> Result<HistoryQuery, ChatError> {
    let start = match (params.at_seq, &params.at_time) {
        (None, None) => HistoryStart::End,
        (Some(_), Some(_)) => return Err(ChatError::invalid("give at_seq or at_time, not both")),
        (Some(0..), None) => HistoryStart::Seq(Seq(params.at_seq.unwrap_or_default())),
        (Some(_), None) => return Err(ChatError::invalid("at_seq must not be negative")),
        (None, Some(time)) => {
            let wrong = || ChatError::invalid("at_time must be a time as RFC 3339 writes it: 2026-01-31T09:30:00Z");
            HistoryStart::Time(Millis::parse(time).ok_or_else(wrong)?)
        }
    };
    if params.cursor.is_some() && start != HistoryStart::End {
        return Err(ChatError::invalid("a cursor says where to go on: leave at_seq and at_time out"));
    }
    let HistoryParams { direction, cursor, changes, .. } = params;
    Ok(HistoryQuery { direction, limit: page_size(params.limit)?, cursor, start, changes })
}

/// RFC 3986's unreserved characters stay as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

fn link(topic: &TopicId, query: &HistoryQuery, cursor: &str, rel: &str) -> Option<HeaderValue> {
    let topic = utf8_percent_encode(topic.as_str(), SEGMENT);
    let direction = match query.direction {
        Direction::Backward => "backward",
        Direction::Forward => "forward",
    };
    let changes = if query.changes { "&changes=true" } else { "" };
    let query = format!("direction={direction}&limit={}{changes}&cursor={cursor}", query.limit);
    HeaderValue::from_str(&format!("</v1/topics/{topic}/messages?{query}>; rel=\"{rel}\"")).ok()
}
