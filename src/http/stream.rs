//! The stream: Server-Sent Events (WHATWG HTML §9.2), or a long poll for clients that cannot stream.
//!
//! An EventSource never reconnects after a status other than 200. So only permanent failures have another status: 401 for
//! an invalid token, 204 for a session that has ended. A temporary failure is 200 with a `retry:` and the end of the stream.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use async_stream::stream;
use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{BearerToken, LastEventId, StrictQuery};
use super::json::JsonBytes;
use super::problem::Problem;
use super::server::Handover;
use super::state::Shared;
use crate::chat::{ChatError, Claims, Resume};
use crate::live::events::{Activity, Bye, Gap, Left, PresenceChange, PresenceState, Ready, Typing};
use crate::live::{Format, Stream, StreamError};
use crate::model::Message;
use crate::model::event_id::EventIdKind;
use crate::model::message::EphemeralMessage;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The longest time that a long poll waits, in seconds.
const MAX_WAIT: u64 = 30;
/// The `retry:` of a temporary failure, in milliseconds.
const RETRY_MILLIS: u64 = 3_000;

/// The query parameters of the stream.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsParams {
    /// The stream token of the session, for clients that cannot set headers, such as EventSource.
    access_token: Option<String>,
    /// The last event id that the client has received. The header `Last-Event-ID` takes precedence.
    #[param(example = "q6oB0gABAQEr")]
    last_event_id: Option<String>,
    /// `now` to start after the newest entry of every topic. Without it, and without an event id, the stream continues at
    /// the position of the session's last stream.
    #[param(inline)]
    from: Option<From>,
    /// The longest time that a long poll waits for an event, in seconds. It has no effect on a stream.
    #[param(minimum = 0, maximum = 30, default = 0, example = 25)]
    wait: Option<u64>,
}

/// The start of a stream that has no event id.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum From {
    Now,
}

/// The response to a long poll.
#[derive(Serialize, ToSchema)]
pub(crate) struct Poll<'a> {
    /// The events since the last poll, the same as on the stream.
    #[schema(value_type = Vec<PollEvent>)]
    events: Vec<StreamEvent<'a>>,
    /// The event id to send with the next poll.
    #[schema(example = "q6oB0gAFAgEr")]
    last_event_id: &'a str,
}

/// The schema of an event with its id.
pub(crate) enum PollEvent {}

impl PartialSchema for PollEvent {
    /// Each of the events may have an id. Each of them declares it, as many client generators do not support an `allOf`
    /// that contains a `oneOf`.
    fn schema() -> RefOr<Schema> {
        let mut schema = StreamEvent::schema();
        if let RefOr::T(Schema::OneOf(events)) = &mut schema {
            for event in &mut events.items {
                if let RefOr::T(Schema::Object(event)) = event {
                    let text = "The event id: the position of the stream after this event. Not every event has one.";
                    let id = ObjectBuilder::new().schema_type(Type::String).description(Some(text));
                    event.properties.insert("id".to_owned(), id.into());
                }
            }
        }
        schema
    }
}

impl ToSchema for PollEvent {
    fn name() -> Cow<'static, str> {
        StreamEvent::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        StreamEvent::schemas(schemas);
    }
}

/// An event of a stream. In SSE, its name is the field `event:`, its id the field `id:`, and its data, as JSON on one line,
/// the field `data:`.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "it is only a schema")]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(crate) enum StreamEvent<'a> {
    /// The first event of every stream. It has an id.
    Ready(Ready<'a>),
    /// The list of the sessions that are present on a topic. Sent once per topic, after `ready` or after the join.
    PresenceState(PresenceState<'a>),
    /// The sessions that have come and gone on a topic since the last such event of this stream.
    Presence(PresenceChange<'a>),
    /// A message. It has an id.
    Message(Message),
    /// An ephemeral message.
    #[serde(rename = "message")]
    Ephemeral(EphemeralMessage),
    /// A range of entries that the stream does not send. It has an id.
    Gap(Gap<'a>),
    /// The join of a topic has ended: the stream sends nothing more of this topic.
    Left(Left<'a>),
    /// There are new entries in a direct message that this session has not joined.
    Activity(Activity<'a>),
    /// A user is typing.
    Typing(Typing<'a>),
    /// The stream ends. It has an id if another stream has replaced this one: a request with that id gets 204.
    Bye(Bye<'a>),
}

/// The credential of a request for the stream: the session token or the stream token as the Bearer, or the stream token in
/// the query.
pub(crate) enum StreamAuth {
    /// The token is valid. Opening the stream checks that the session is alive.
    Valid(Claims),
    /// The session token has expired, with its session or because the session was refreshed.
    Expired(Claims),
}

impl FromRequestParts<Shared> for StreamAuth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let bearer = <Option<BearerToken> as FromRequestParts<Shared>>::from_request_parts(parts, shared).await?;
        if let Some(token) = bearer {
            let chat = &shared.chat;
            let token = token.as_str();
            let claims = chat.claims(token).or_else(|error| chat.stream_claims(token).map_err(|_| error));
            return match claims {
                Ok(claims) => Ok(Self::Valid(claims)),
                Err(error) => Ok(Self::Expired(chat.claims_of_any_age(token).map_err(|_| error)?)),
            };
        }
        let StrictQuery(params) = StrictQuery::<EventsParams>::from_request_parts(parts, shared).await?;
        let missing = || Problem::unauthenticated("bring the stream token as access_token, or a token as the Bearer");
        let token = params.access_token.ok_or_else(missing)?;
        Ok(Self::Valid(shared.chat.stream_claims(&token)?))
    }
}

/// Opens the stream
///
/// A session has one stream: opening a second one ends the first with `bye` and the reason `replaced`. The messages of a
/// topic arrive in the order of `seq`, each exactly once, also those that this session has sent. Comments keep an idle
/// stream open. With `Accept: application/json` the same call is a long poll: the first poll returns `ready` and the
/// presence states at once, a poll with an event id continues after that event; its response is `no-store`. The stream
/// token may also be sent as the Bearer.
#[utoipa::path(
    get, path = "/v1/session/events", tag = "stream", operation_id = "stream_events",
    params(
        EventsParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event id that the client has received. An \
                                                                  invalid value counts as absent."),
    ),
    security(("session_token" = []), ("stream_token" = [])),
    responses(
        (status = 200, description = "The stream. If the service is overloaded or its database cannot be reached, only a `retry:` field.",
         content((String = "text/event-stream", example = json!(EXAMPLE)), (Poll = "application/json")),
         headers(("cache-control" = String, description = "Always `no-cache, no-transform`."),
                 ("x-accel-buffering" = String, description = "Always `no`: proxies pass each event on at once."))),
        (status = 204, description = "The session has ended, or another stream has replaced the one that this event id is \
                                      from. Do not reconnect."),
        (status = 429, description = "Only for long polls: too many requests (`rate_limited`). A stream is answered with \
                                      200, a `retry:` field and its end."),
        (status = 503, description = "Only for long polls: the service is overloaded, or its database cannot be reached \
                                      (`unavailable`). A stream is answered with 200, a `retry:` field and its end."),
    ),
)]
async fn events(
    State(shared): State<Shared>,
    method: Method,
    headers: HeaderMap,
    handover: Option<Extension<Handover>>,
    auth: StreamAuth,
    StrictQuery(params): StrictQuery<EventsParams>,
    LastEventId(header_id): LastEventId,
) -> Result<Response, Problem> {
    let claims = match auth {
        StreamAuth::Valid(claims) => claims,
        // If the session has ended, the client must not reconnect; if it is alive, the client reconnects with its new token.
        StreamAuth::Expired(claims) => {
            return match shared.chat.caller(&claims).await {
                Err(ChatError::Unauthenticated(_)) => Ok(StatusCode::NO_CONTENT.into_response()),
                Err(error) => retry_later(format(&headers), error),
                Ok(_) => Err(Problem::unauthenticated("the token has expired: bring the one of the last refresh")),
            };
        }
    };
    let format = format(&headers);
    let wait = params.wait.unwrap_or(0);
    if wait > MAX_WAIT {
        return Err(Problem::invalid("wait must be 0 to 30 seconds"));
    }
    if method == Method::HEAD {
        return Ok(sse(Body::empty())); // the headers of a GET only: a stream would replace the open one
    }
    let id = header_id.or(params.last_event_id).and_then(|text| shared.chat.event_id(claims.session, &text));
    let resume = match id {
        Some(id) if id.kind == EventIdKind::Replaced => return Ok(StatusCode::NO_CONTENT.into_response()),
        Some(id) => Resume::Id(id),
        None if params.from.is_some() => Resume::Now,
        None => Resume::Last,
    };
    let opened = match shared.rates.check_call(claims.session) {
        Ok(()) => shared.chat.open_stream(&claims, resume, format).await,
        Err(limited) => return retry_later(format, limited),
    };
    match opened {
        Ok(stream) if format == Format::Json => Ok(poll(stream, Duration::from_secs(wait)).await),
        Ok(stream) => Ok(stream_response(stream, handover)),
        Err(StreamError::Ended) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(StreamError::Store(error)) => retry_later(format, error.into()),
    }
}

/// The format that the client accepts: a request that accepts JSON and not SSE is a long poll.
fn format(headers: &HeaderMap) -> Format {
    let accepts = |kind: &str| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(kind)))
    };
    if accepts("application/json") && !accepts("text/event-stream") { Format::Json } else { Format::Sse }
}

/// The response of a stream. The connection is handed over to the stream if possible; with HTTP/1.0 it is an ordinary
/// body.
fn stream_response(mut open: Stream, handover: Option<Extension<Handover>>) -> Response {
    let Some(Extension(handover)) = handover else {
        let pieces = stream! {
            while let Some(piece) = open.next().await {
                yield Ok::<_, Infallible>(piece);
            }
        };
        return sse(Body::from_stream(pieces));
    };
    let mut response = sse(handover.leave(open));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn poll(stream: Stream, wait: Duration) -> Response {
    let polled = stream.poll(wait).await;
    let id = polled.last_event_id.as_bytes();
    let parts: [&[u8]; 5] = [b"{\"events\":[", &polled.events, b"],\"last_event_id\":\"", id, b"\"}"];
    ([(header::CACHE_CONTROL, "no-store")], JsonBytes(parts.concat().into())).into_response()
}

fn sse(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// The response to a temporary failure: a `retry:` for an EventSource, the error itself for a long poll.
fn retry_later(format: Format, error: ChatError) -> Result<Response, Problem> {
    if format == Format::Json {
        return Err(error.into());
    }
    let millis = match error {
        ChatError::RateLimited { retry_after } => retry_after.as_millis().max(1_000),
        ChatError::Unavailable => u128::from(RETRY_MILLIS),
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "a stream could not be opened");
            u128::from(RETRY_MILLIS)
        }
    };
    Ok(sse(Body::from(format!("retry: {millis}\n\n"))))
}

const EXAMPLE: &str = "retry: 1742\n\n\
    id: q6oB0gABAA\nevent: ready\n\
    data: {\"session_id\":\"019aafcc-5b1e-7d03-8b6f-1f0e2ab3c4d5\",\"user_id\":\"ana\",\
    \"topics\":[{\"topic\":\"room:lobby\",\"position\":41}]}\n\n\
    event: presence_state\n\
    data: {\"topic\":\"room:lobby\",\"presences\":[{\"user_id\":\"ana\",\"username\":\"Ana\",\
    \"session_id\":\"019aafcc-5b1e-7d03-8b6f-1f0e2ab3c4d5\",\"online_since\":\"2026-01-31T09:30:00.000Z\"}],\
    \"presence_count\":1}\n\n\
    id: q6oB0gABAQEr\nevent: message\n\
    data: {\"id\":\"019aafcc-9d2c-7a51-9c3e-6a7b8c9d0e1f\",\"topic\":\"room:lobby\",\"seq\":42,\"code\":0,\
    \"sender\":{\"user_id\":\"bob\",\"username\":\"Bob\"},\"content\":{\"text\":\"hello\"},\
    \"created_at\":\"2026-01-31T09:30:01.000Z\"}\n\n";
