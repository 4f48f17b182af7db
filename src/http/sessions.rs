//! Sessions: opening, refreshing, ending.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::address::ClientAddr;
use super::auth::UnlimitedCaller;
use super::extract::{BearerToken, OptionalBody, StrictQuery};
use super::paging::{PageParams, cut, page_size, start_after};
use super::path::SessionPath;
use super::problem::Problem;
use super::state::Shared;
use super::topics::JoinDto;
use crate::chat::{Caller, Chat, OpenedSession, SessionRow};
use crate::model::cursor::IdCursor;
use crate::model::{Millis, SessionId, User};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(open))
        .routes(routes!(read, end))
        .routes(routes!(refresh))
        .routes(routes!(list))
        .routes(routes!(end_one))
}

/// What opens a session: nothing with a user token, a device otherwise.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenSession {
    /// The secret of a built-in account, 16 to 128 characters, made by the client and kept there: who knows it is that
    /// user. The account is made on first use.
    #[schema(
        example = "6f1c2ab0-device-of-ana",
        min_length = 16,
        max_length = 128,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$"
    )]
    device_id: Option<String>,
    /// How a new account is called, 1 to 64 characters; one that exists keeps its name.
    #[schema(example = "Ana", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    username: Option<String>,
}

/// What refreshes a session.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshSession {
    /// A fresh token of the issuer; users with a built-in account need none.
    user_token: Option<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionDto {
    id: SessionId,
    user: User,
    created_at: Millis,
    /// When its tokens end, unless it is refreshed before.
    expires_at: Millis,
}

/// A session with its tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedSession)]
pub(crate) struct OpenedSessionDto {
    session: SessionDto,
    /// For every call: `Authorization: Bearer TOKEN`.
    token: String,
    /// Opens the session's stream and nothing else; good as long as the session lives.
    stream_token: String,
    /// A path with the stream token, ready for `new EventSource(base + events_url)`.
    #[schema(example = "/v1/session/events?access_token=eyJ0eXAi…")]
    events_url: String,
}

/// The caller's session.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnSession)]
pub(crate) struct OwnSessionDto {
    session: SessionDto,
    /// What it has joined, in the order of joining.
    topics: Vec<JoinDto>,
    /// Whether its stream is open.
    stream_open: bool,
}

/// A session in the list of its user's.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedSession)]
pub(crate) struct ListedSessionDto {
    #[serde(flatten)]
    session: SessionDto,
    /// Whether its stream is open.
    stream_open: bool,
    /// Whether it is the one that asks.
    current: bool,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// Oldest first.
    sessions: Vec<ListedSessionDto>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<SessionRow> for SessionDto {
    fn from(row: SessionRow) -> Self {
        Self { id: row.id, user: row.user, created_at: row.created_at, expires_at: row.expires_at }
    }
}

/// Tokens are for whom they are given to, and for no cache.
type Secret<T> = ([(HeaderName, &'static str); 1], Json<T>);

fn secret(opened: OpenedSession) -> Secret<OpenedSessionDto> {
    let OpenedSession { session, token, stream_token } = opened;
    // A JWT has only characters that need no escape in a query.
    let events_url = format!("/v1/session/events?access_token={stream_token}");
    let dto = OpenedSessionDto { session: session.into(), token, stream_token, events_url };
    ([(header::CACHE_CONTROL, "no-store")], Json(dto))
}

/// Opens a session
///
/// Either with a user token as the Bearer (a JWT of a configured issuer), or with the `device_id` of a built-in account
/// in the body.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", operation_id = "open_session",
    request_body(content = OpenSession, description = "Empty with a user token."),
    security((), ("user_token" = [])),
    responses(
        (status = 201, description = "The session and its tokens.", body = OpenedSessionDto,
         headers(("cache-control" = String, description = "`no-store`"))),
        (status = 401, description = "The user token is not good (`unauthenticated`)."),
        (status = 403, description = "Built-in accounts are off (`forbidden`)."),
    ),
)]
async fn open(
    State(shared): State<Shared>,
    ClientAddr(address): ClientAddr,
    bearer: Option<BearerToken>,
    OptionalBody(body): OptionalBody<OpenSession>,
) -> Result<(StatusCode, Secret<OpenedSessionDto>), Problem> {
    shared.rates.check_session(address)?;
    let opened = match (bearer, body.device_id) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("bring a user token or a device_id, not both"));
        }
        (Some(_), None) if body.username.is_some() => {
            return Err(Problem::invalid("username goes with device_id; a user token names its user itself"));
        }
        (Some(token), None) => shared.chat.open_issued_session(token.as_str()).await?,
        (None, Some(device)) => shared.chat.open_device_session(&device, body.username.as_deref()).await?,
        (None, None) => {
            return Err(Problem::invalid("bring a user token as the Bearer, or a device_id in the body"));
        }
    };
    Ok((StatusCode::CREATED, secret(opened)))
}

/// Reads the session
#[utoipa::path(
    get, path = "/v1/session", tag = "sessions", operation_id = "read_session",
    security(("session_token" = [])),
    responses((status = 200, description = "The session, what it has joined, whether its stream is open.",
               body = OwnSessionDto)),
)]
async fn read(State(chat): State<Chat>, caller: Caller) -> Result<Json<OwnSessionDto>, Problem> {
    let topics = chat.joins(caller.session).await?.into_iter().map(JoinDto::from).collect();
    let stream_open = chat.is_streaming(&caller.row);
    Ok(Json(OwnSessionDto { session: caller.row.into(), topics, stream_open }))
}

/// Signs out
///
/// The session leaves every topic, its stream ends, and its tokens are good for nothing, on every instance.
#[utoipa::path(
    delete, path = "/v1/session", tag = "sessions", operation_id = "end_session",
    security(("session_token" = [])),
    responses((status = 204, description = "The session has ended.")),
)]
async fn end(State(chat): State<Chat>, UnlimitedCaller(caller): UnlimitedCaller) -> Result<StatusCode, Problem> {
    chat.end_session(&caller, caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refreshes the session's tokens
///
/// Nothing is left or rejoined, and the open stream lives on. Users of an issuer bring a fresh `user_token`.
#[utoipa::path(
    post, path = "/v1/session/refresh", tag = "sessions", operation_id = "refresh_session",
    request_body(content = RefreshSession, description = "Empty for built-in accounts."),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The same session with new tokens.", body = OpenedSessionDto,
         headers(("cache-control" = String, description = "`no-store`"))),
        (status = 401, description = "The session's token or the user token is not good (`unauthenticated`)."),
        (status = 403, description = "The user token is another user's (`forbidden`)."),
    ),
)]
async fn refresh(
    State(chat): State<Chat>,
    caller: Caller,
    OptionalBody(body): OptionalBody<RefreshSession>,
) -> Result<Secret<OpenedSessionDto>, Problem> {
    Ok(secret(chat.refresh(&caller, body.user_token.as_deref()).await?))
}

/// Lists my sessions, on all devices
#[utoipa::path(
    get, path = "/v1/me/sessions", tag = "sessions", operation_id = "list_sessions",
    params(PageParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "The sessions that live.", body = SessionList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
    ),
)]
async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    StrictQuery(page): StrictQuery<PageParams>,
) -> Result<Json<SessionList>, Problem> {
    let limit = page_size(page.limit)?;
    let owner = caller.user.user_id.as_str();
    let after = start_after(page.cursor.as_deref(), |text| Some(IdCursor::decode(text, owner)?.0))?;
    let rows = chat.sessions(&caller, after, limit as u64 + 1).await?;
    let (rows, next_cursor): (Vec<SessionRow>, _) = cut(rows, limit, |row| IdCursor(row.id.0).encode(owner));
    let listed = |row: SessionRow| ListedSessionDto {
        stream_open: chat.is_streaming(&row),
        current: row.id == caller.session,
        session: row.into(),
    };
    Ok(Json(SessionList { sessions: rows.into_iter().map(listed).collect(), next_cursor }))
}

/// Ends one of my sessions
#[utoipa::path(
    delete, path = "/v1/me/sessions/{session_id}", tag = "sessions", operation_id = "end_session_by_id",
    params(SessionPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, description = "The caller has no such living session (`not_found`)."),
    ),
)]
async fn end_one(State(chat): State<Chat>, caller: Caller, path: SessionPath) -> Result<StatusCode, Problem> {
    chat.end_session(&caller, path.session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
