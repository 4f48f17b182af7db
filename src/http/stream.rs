//! The stream: Server-Sent Events (WHATWG HTML §9.2), or a long poll for whoever cannot stream.
//!
//! An EventSource gives up for good on any status but 200. So only what can never become better is answered by another
//! one: 401 for a bad token, 204 for a session that has ended. Whatever passes is 200, a `retry:` and the end.

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

/// The longest that a long poll waits, in seconds.
const LONGEST_WAIT: u64 = 30;
/// When to come back while something is away or too busy, in milliseconds.
const COME_BACK: u64 = 3_000;

/// Where the stream starts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsParams {
    /// The session's stream token: EventSource cannot set headers.
    access_token: Option<String>,
    /// The last id received; the `Last-Event-ID` header wins.
    #[param(example = "q6oB0gABAQEr")]
    last_event_id: Option<String>,
    /// `now`: without an id, starts at the end of every topic instead of where the session left off.
    #[param(inline)]
    from: Option<From>,
    /// How long a long poll waits for something to come, in seconds.
    #[param(minimum = 0, maximum = 30, default = 0, example = 25)]
    wait: Option<u64>,
}

/// Where a stream without an id starts.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum From {
    Now,
}

/// A long poll's answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Poll<'a> {
    /// What has come; the same events as on the stream.
    #[schema(value_type = Vec<PollEvent>)]
    events: Vec<StreamEvent<'a>>,
    /// Bring it back with the next poll.
    #[schema(example = "q6oB0gAFAgEr")]
    last_event_id: &'a str,
}

/// The shape of an event with its id.
pub(crate) enum PollEvent {}

impl PartialSchema for PollEvent {
    /// Each of the events may have an id. Said in each of them, as many generators of clients cannot join a choice with
    /// something else (`allOf` with a `oneOf` in it).
    fn schema() -> RefOr<Schema> {
        let mut schema = StreamEvent::schema();
        if let RefOr::T(Schema::OneOf(events)) = &mut schema {
            for event in &mut events.items {
                if let RefOr::T(Schema::Object(event)) = event {
                    let text = "Where the stream has come to with this event; not every event has one.";
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

/// The events of a stream: in SSE their names stand in `event:`, their ids in `id:`, their data, as JSON on one line, in
/// `data:`.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "the shape alone matters")]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(crate) enum StreamEvent<'a> {
    /// Always first. Has an id.
    Ready(Ready<'a>),
    /// The whole list of those present, once after `ready` and after each join.
    PresenceState(PresenceState<'a>),
    /// Who came and went since this stream's last, net.
    Presence(PresenceChange<'a>),
    /// A message. Has an id.
    Message(Message),
    /// An ephemeral message.
    #[serde(rename = "message")]
    Ephemeral(EphemeralMessage),
    /// What the stream does not send. Has an id.
    Gap(Gap<'a>),
    /// Nothing more comes from a topic.
    Left(Left<'a>),
    /// Something is new in a direct message that this session has not joined.
    Activity(Activity<'a>),
    /// Somebody is typing.
    Typing(Typing<'a>),
    /// The stream ends. Has an id where another stream has replaced it: brought back, that answers 204.
    Bye(Bye<'a>),
}

/// Who may open the stream: the session's token or its stream token as the Bearer, or the stream token in the query.
pub(crate) enum Listener {
    /// May listen.
    Welcome(Claims),
    /// Brings a session token whose time has run out: with its session, or because it was refreshed.
    Late(Claims),
}

impl FromRequestParts<Shared> for Listener {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let bearer = <Option<BearerToken> as FromRequestParts<Shared>>::from_request_parts(parts, shared).await?;
        if let Some(token) = bearer {
            let (chat, token) = (&shared.chat, token.as_str());
            let claims = chat.claims(token).or_else(|error| chat.stream_claims(token).map_err(|_| error));
            return match claims {
                Ok(claims) => Ok(Self::Welcome(claims)),
                Err(error) => Ok(Self::Late(chat.claims_of_any_age(token).map_err(|_| error)?)),
            };
        }
        let StrictQuery(params) = StrictQuery::<EventsParams>::from_request_parts(parts, shared).await?;
        let missing = || Problem::unauthenticated("bring the stream token as access_token, or a token as the Bearer");
        let token = params.access_token.ok_or_else(missing)?;
        Ok(Self::Welcome(shared.chat.stream_claims(&token)?))
    }
}

/// Opens the stream
///
/// One stream a session: a second one ends the first with `bye` `replaced`. Messages of a topic arrive in the order of
/// `seq`, each exactly once, the sender's own included. A comment keeps a silent stream alive. With
/// `Accept: application/json` the same call is a long poll: the first one answers at once with `ready` and the presence
/// states, one with an id goes on from there; its answer is `no-store`. The stream token may be brought as the Bearer,
/// too.
#[utoipa::path(
    get, path = "/v1/session/events", tag = "stream", operation_id = "stream_events",
    params(
        EventsParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The last id received; what cannot be read counts as \
                                                                  none."),
    ),
    security(("session_token" = []), ("stream_token" = [])),
    responses(
        (status = 200, description = "The stream. Where the service is busy or its database away, only a `retry:`.",
         content((String = "text/event-stream", example = json!(EXAMPLE)), (Poll = "application/json")),
         headers(("cache-control" = String, description = "`no-cache, no-transform`"),
                 ("x-accel-buffering" = String, description = "`no`: proxies pass each event on at once"))),
        (status = 204, description = "The session has ended, or another stream has replaced the one that this id is of: \
                                      do not come back."),
    ),
)]
async fn events(
    State(shared): State<Shared>,
    method: Method,
    headers: HeaderMap,
    handover: Option<Extension<Handover>>,
    listener: Listener,
    StrictQuery(params): StrictQuery<EventsParams>,
    LastEventId(header_id): LastEventId,
) -> Result<Response, Problem> {
    let claims = match listener {
        Listener::Welcome(claims) => claims,
        // A session that has ended is no reason to come back; one that lives is, with its new token.
        Listener::Late(claims) => {
            return match shared.chat.caller(&claims).await {
                Err(ChatError::Unauthenticated(_)) => Ok(StatusCode::NO_CONTENT.into_response()),
                Err(error) => come_back(format(&headers), error),
                Ok(_) => Err(Problem::unauthenticated("the token has expired: bring the one of the last refresh")),
            };
        }
    };
    let format = format(&headers);
    let wait = params.wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::invalid("wait must be 0 to 30 seconds"));
    }
    if method == Method::HEAD {
        return Ok(sse(Body::empty())); // asks what a GET would say; a stream would end the one that is open
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
        Err(limited) => return come_back(format, limited),
    };
    match opened {
        Ok(stream) if format == Format::Json => Ok(poll(stream, Duration::from_secs(wait)).await),
        Ok(stream) => Ok(carried(stream, handover)),
        Err(StreamError::Ended) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(StreamError::Store(error)) => come_back(format, error.into()),
    }
}

/// Whether the caller wants a stream or a long poll: whoever names JSON and not SSE polls.
fn format(headers: &HeaderMap) -> Format {
    let accepts = |kind: &str| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(kind)))
    };
    if accepts("application/json") && !accepts("text/event-stream") { Format::Json } else { Format::Sse }
}

/// A stream by itself on its connection, where that can be; on HTTP/1.0 as any other body.
fn carried(mut open: Stream, handover: Option<Extension<Handover>>) -> Response {
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
    let answer = stream.poll(wait).await;
    let mut body = Vec::with_capacity(answer.events.len() + answer.last_event_id.len() + 40);
    body.extend_from_slice(b"{\"events\":[");
    body.extend_from_slice(&answer.events);
    body.extend_from_slice(b"],\"last_event_id\":\"");
    body.extend_from_slice(answer.last_event_id.as_bytes());
    body.extend_from_slice(b"\"}");
    ([(header::CACHE_CONTROL, "no-store")], JsonBytes(body.into())).into_response()
}

fn sse(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// What passes: an EventSource is asked to come back; a long poll gets the plain error.
fn come_back(format: Format, error: ChatError) -> Result<Response, Problem> {
    if format == Format::Json {
        return Err(error.into());
    }
    let millis = match error {
        ChatError::RateLimited { retry_after } => retry_after.as_millis().max(1_000),
        ChatError::Unavailable => u128::from(COME_BACK),
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "a stream could not be opened");
            u128::from(COME_BACK)
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
