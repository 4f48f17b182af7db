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

/// The message to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"content": {"text": "hello"}}))]
pub(crate) struct SendMessage {
    /// Any JSON value, also `null`. It is delivered as it was sent, except for white space outside of strings.
    #[schema(value_type = Value)]
    content: Box<RawValue>,
    /// True if the message is only for the streams that are open at this moment, and is not stored. By default `false`.
    ephemeral: Option<bool>,
}

/// The new content of a message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"content": {"text": "hello again"}}))]
pub(crate) struct EditMessage {
    /// Any JSON value, as in a message to send.
    #[schema(value_type = Value)]
    content: Box<RawValue>,
}

/// A page of history.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageList {
    /// The messages, in the order of `direction`.
    messages: Vec<Message>,
    /// The `cursor` of the next page; null at the end of the history. With `direction=forward` it is never null, so that
    /// you can poll for new messages.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The `cursor` of the previous page, in the same order; null if there is none.
    #[schema(required)]
    prev_cursor: Option<String>,
}

/// The query parameters of history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// `backward` for the newest message first, `forward` for the oldest first. By default `backward`.
    #[serde(default)]
    #[param(inline)]
    direction: Direction,
    /// The largest number of messages in the page.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    limit: Option<u32>,
    /// A `next_cursor` or `prev_cursor` from the history of this topic, with the same direction.
    #[param(example = "Yh5Kx1m0cUkAAAAAAAAAKg", pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// The `seq` of the entry at which the first page starts. Not together with `at_time` or `cursor`.
    #[param(minimum = 0, example = 42)]
    at_seq: Option<i64>,
    /// The time (RFC 3339) at which the first page starts: with `backward` at the last entry created at or before this
    /// time, with `forward` at the first entry created at or after it. Not together with `at_seq` or `cursor`.
    #[param(format = DateTime, example = "2026-01-31T09:30:00.000Z")]
    at_time: Option<String>,
    /// True to list the entries of edits and removals (codes 6 and 7) as well. A cursor is valid with both values.
    #[serde(default)]
    #[param(default = false, example = true)]
    changes: bool,
}

/// Sends a message
///
/// The response is the acknowledgement: the message is stored, has its `seq` in the topic, and will be delivered to all
/// streams that have joined the topic. The session must have joined the topic.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/messages", tag = "messages", operation_id = "send_message",
    params(
        TopicPath,
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
         description = "A key of your choice that makes it safe to repeat the call. Within 24 hours, a call with the same \
                        key and content, by the same user in the same topic, returns the first message and sends \
                        nothing."),
    ),
    request_body = SendMessage,
    responses(
        (status = 201, description = "The message is stored.", body = Message),
        (status = 200, description = "An earlier call with the same Idempotency-Key has stored this message.", body = Message),
        (status = 202, description = "The message is ephemeral, and was delivered to the open streams.", body = EphemeralMessage),
        (status = 403, description = "One of the two users of the direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
        (status = 409, description = "The session has not joined the topic (`not_joined`)."),
        (status = 413, description = "The content is too long (`content_too_large`), or the body is (`body_too_large`)."),
        (status = 422, description = "A value is invalid (`invalid`), or the Idempotency-Key was used with another \
                                      content (`idempotency_key_reused`)."),
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

/// Returns a page of the history of a topic
///
/// The caller need not have joined the topic, and reading does not make them present. The pages neither repeat nor skip an
/// entry, even if messages are sent meanwhile. Messages are in their present state: edited, or without content if they
/// were removed. The entries of the edits and removals themselves are only listed with `changes=true`.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages", tag = "messages", operation_id = "read_history",
    params(TopicPath, HistoryParams),
    responses(
        (status = 200, description = "A page of messages.", body = MessageList,
         headers(("link" = String, description = "Links to the next and the previous page: `rel=\"next\"` and `rel=\"prev\"` (RFC 8288)."))),
        (status = 400, description = "The cursor is not from the history of this topic with this direction (`bad_cursor`)."),
        (status = 404, description = "There is no such topic, or the caller may not see it (`not_found`)."),
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

/// Returns one message
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "read_message",
    params(MessagePath),
    responses(
        (status = 200, description = "The message.", body = Message),
        (status = 404, description = "There is no such topic or message, or the caller may not see it (`not_found`)."),
    ),
)]
async fn read(State(chat): State<Chat>, caller: Caller, path: MessagePath) -> Result<Json<Message>, Problem> {
    Ok(Json(chat.message(&caller, &path.topic, path.message_id).await?))
}

/// Edits a message
///
/// Only the author of a message can edit it. The message gets the new content and `edited_at`, and the topic gets an entry
/// of code 6 with the content `{"message_id", "seq", "content"}`, which is sent to all streams. The caller need not have
/// joined the topic. The call counts as a send in the rate limits.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "edit_message",
    params(MessagePath),
    request_body = EditMessage,
    responses(
        (status = 200, description = "The message with its new content.", body = Message),
        (status = 403, description = "The caller is not the author, or the entry was not sent by a user (`forbidden`); or \
                                      one of the two users of the direct message blocks the other (`blocked`)."),
        (status = 404, description = "There is no such topic or message, or the caller may not see it (`not_found`)."),
        (status = 409, description = "The message has been removed (`message_removed`)."),
        (status = 413, description = "The content is too long (`content_too_large`), or the body is (`body_too_large`)."),
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
/// The author of a message can remove it; in a group, admins can remove any message. The message loses its content and
/// gets `removed_at`, the entries of its edits lose their content, too, and the topic gets an entry of code 7 with the
/// content `{"message_id", "seq"}`, which is sent to all streams. Removing a message again changes nothing. The caller need
/// not have joined the topic. The call counts as a send in the rate limits.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/messages/{message_id}", tag = "messages", operation_id = "remove_message",
    params(MessagePath),
    responses(
        (status = 204, description = "The message is removed, by this call or an earlier one."),
        (status = 403, description = "The caller is neither author nor admin, or no user sent the entry (`forbidden`)."),
        (status = 404, description = "There is no such topic or message, or the caller may not see it (`not_found`)."),
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
        (Some(seq @ 0..), None) => HistoryStart::Seq(Seq(seq)),
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

/// The characters to percent-encode in a segment of a path: all but the unreserved ones of RFC 3986 and the colon.
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
