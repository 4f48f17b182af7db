//! Sessions: opening, refreshing, listing, ending.

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

/// The account of a device. Leave all members out if you send a user token.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenSession {
    /// The secret of a built-in account: 16 to 128 characters without control characters. The client creates it and keeps
    /// it; whoever has it can sign in as that user. The first use creates the account.
    #[schema(
        example = "6f1c2ab0-device-of-ana",
        min_length = 16,
        max_length = 128,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$"
    )]
    device_id: Option<String>,
    /// The name of a new account: 1 to 64 characters without control characters, by default `guest-` and six characters.
    /// An account that already exists keeps its name.
    #[schema(example = "Ana", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    username: Option<String>,
}

/// The credential that refreshes a session.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshSession {
    /// A new token of the issuer, for the same user. Required unless the user has a built-in account.
    user_token: Option<String>,
}

/// A session: one client of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionDto {
    id: SessionId,
    user: User,
    created_at: Millis,
    /// The time at which the session and its tokens expire, unless it is refreshed before.
    expires_at: Millis,
}

/// A session with its tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedSession)]
pub(crate) struct OpenedSessionDto {
    session: SessionDto,
    /// The session token. Send it with every call: `Authorization: Bearer TOKEN`.
    token: String,
    /// The stream token. It opens the stream of this session and nothing else, and is valid as long as the session.
    stream_token: String,
    /// The path of the stream with the stream token, for `new EventSource(base + events_url)`.
    #[schema(example = "/v1/session/events?access_token=eyJ0eXAi…")]
    events_url: String,
}

/// The session of the caller, with its topics.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnSession)]
pub(crate) struct OwnSessionDto {
    session: SessionDto,
    /// The topics that the session has joined, in the order of joining.
    topics: Vec<JoinDto>,
    /// True if the stream of the session is open.
    stream_open: bool,
}

/// A session in the list of a user's sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedSession)]
pub(crate) struct ListedSessionDto {
    #[serde(flatten)]
    session: SessionDto,
    /// True if the stream of the session is open.
    stream_open: bool,
    /// True if it is the session of this call.
    current: bool,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// The sessions, the oldest first.
    sessions: Vec<ListedSessionDto>,
    /// The `cursor` of the next page; null if this page is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<SessionRow> for SessionDto {
    fn from(row: SessionRow) -> Self {
        Self { id: row.id, user: row.user, created_at: row.created_at, expires_at: row.expires_at }
    }
}

/// A response that holds tokens: no cache may store it.
type Uncached<T> = ([(HeaderName, &'static str); 1], Json<T>);

fn with_tokens(opened: OpenedSession) -> Uncached<OpenedSessionDto> {
    let OpenedSession { session, token, stream_token } = opened;
    // No character of a JWT needs an escape in a query.
    let events_url = format!("/v1/session/events?access_token={stream_token}");
    let dto = OpenedSessionDto { session: session.into(), token, stream_token, events_url };
    ([(header::CACHE_CONTROL, "no-store")], Json(dto))
}

/// Opens a session
///
/// Send either a user token as the Bearer (a JWT of an issuer that the service trusts), or the `device_id` of a built-in
/// account in the body.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", operation_id = "open_session",
    request_body(content = OpenSession, description = "The account of this device. Leave it out if you send a user token."),
    extensions(("x-optional-body" = json!(true))),
    security((), ("user_token" = [])),
    responses(
        (status = 201, description = "The new session and its tokens.", body = OpenedSessionDto,
         headers(("cache-control" = String, description = "Always `no-store`."))),
        (status = 401, description = "The user token is invalid or expired (`unauthenticated`)."),
        (status = 403, description = "Built-in accounts are disabled (`forbidden`)."),
    ),
)]
async fn open(
    State(shared): State<Shared>,
    ClientAddr(address): ClientAddr,
    bearer: Option<BearerToken>,
    OptionalBody(body): OptionalBody<OpenSession>,
) -> Result<(StatusCode, Uncached<OpenedSessionDto>), Problem> {
    shared.rates.check_session(address)?;
    let opened = match (bearer, body.device_id) {
        (Some(_), Some(_)) => return Err(Problem::invalid("bring a user token or a device_id, not both")),
        (Some(_), None) if body.username.is_some() => {
            return Err(Problem::invalid("username goes with device_id; a user token names its user itself"));
        }
        (Some(token), None) => shared.chat.open_issued_session(token.as_str()).await?,
        (None, Some(device)) => shared.chat.open_device_session(&device, body.username.as_deref()).await?,
        (None, None) => return Err(Problem::invalid("bring a user token as the Bearer, or a device_id in the body")),
    };
    Ok((StatusCode::CREATED, with_tokens(opened)))
}

/// Returns the session
#[utoipa::path(
    get, path = "/v1/session", tag = "sessions", operation_id = "read_session",
    responses((status = 200, description = "The session, the topics it has joined, and the state of its stream.",
               body = OwnSessionDto)),
)]
async fn read(State(chat): State<Chat>, caller: Caller) -> Result<Json<OwnSessionDto>, Problem> {
    let topics = chat.joins(caller.session).await?.into_iter().map(JoinDto::from).collect();
    let stream_open = chat.is_streaming(&caller.row);
    Ok(Json(OwnSessionDto { session: caller.row.into(), topics, stream_open }))
}

/// Signs out
///
/// The session leaves all topics, its stream ends, and its tokens become invalid, on every instance of the service.
#[utoipa::path(
    delete, path = "/v1/session", tag = "sessions", operation_id = "end_session",
    responses((status = 204, description = "The session has ended.")),
)]
async fn end(State(chat): State<Chat>, UnlimitedCaller(caller): UnlimitedCaller) -> Result<StatusCode, Problem> {
    chat.end_session(&caller, caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refreshes the session's tokens
///
/// The session keeps its topics, and an open stream continues. Users of an issuer must send a new `user_token`.
#[utoipa::path(
    post, path = "/v1/session/refresh", tag = "sessions", operation_id = "refresh_session",
    request_body(content = RefreshSession, description = "A new user token. Leave it out for a built-in account."),
    extensions(("x-optional-body" = json!(true))),
    responses(
        (status = 200, description = "The same session with new tokens.", body = OpenedSessionDto,
         headers(("cache-control" = String, description = "Always `no-store`."))),
        (status = 401, description = "The session token or the user token is invalid or expired (`unauthenticated`)."),
        (status = 403, description = "The user token belongs to another user (`forbidden`)."),
    ),
)]
async fn refresh(
    State(chat): State<Chat>,
    caller: Caller,
    OptionalBody(body): OptionalBody<RefreshSession>,
) -> Result<Uncached<OpenedSessionDto>, Problem> {
    Ok(with_tokens(chat.refresh(&caller, body.user_token.as_deref()).await?))
}

/// Lists the sessions of the caller on all devices
#[utoipa::path(
    get, path = "/v1/me/sessions", tag = "sessions", operation_id = "list_sessions",
    params(PageParams),
    responses(
        (status = 200, description = "A page of the sessions that have not ended.", body = SessionList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
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

/// Ends one of the caller's sessions
#[utoipa::path(
    delete, path = "/v1/me/sessions/{session_id}", tag = "sessions", operation_id = "end_session_by_id",
    params(SessionPath),
    responses(
        (status = 204, description = "The session has ended."),
        (status = 404, description = "The caller has no such session, or it has ended (`not_found`)."),
    ),
)]
async fn end_one(State(chat): State<Chat>, caller: Caller, path: SessionPath) -> Result<StatusCode, Problem> {
    chat.end_session(&caller, path.session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
