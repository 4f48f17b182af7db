//! What went wrong, as a client sees it: `application/problem+json` (RFC 9457). The table of all codes stands here,
//! and the one place that maps [`ChatError`] to a response. Handlers return `Result<T, Problem>`.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::chat::ChatError;

/// One kind of problem: a stable slug, its status and its title. [`KINDS`] lists them all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The stable slug that clients compare; `type` is `urn:parlour:` and this.
    pub(crate) code: &'static str,
    /// The response's status.
    pub(crate) status: StatusCode,
    /// A summary that is the same for every problem of this kind (RFC 9457 §3.1.3).
    pub(crate) title: &'static str,
}

impl Kind {
    const fn new(code: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self { code, status, title }
    }
}

pub(crate) static MALFORMED_JSON: Kind = Kind::new("malformed_json", StatusCode::BAD_REQUEST, "Malformed JSON");
pub(crate) static BAD_CURSOR: Kind = Kind::new("bad_cursor", StatusCode::BAD_REQUEST, "Bad cursor");
pub(crate) static UNAUTHENTICATED: Kind = Kind::new("unauthenticated", StatusCode::UNAUTHORIZED, "Not signed in");
pub(crate) static FORBIDDEN: Kind = Kind::new("forbidden", StatusCode::FORBIDDEN, "Forbidden");
pub(crate) static BLOCKED: Kind = Kind::new("blocked", StatusCode::FORBIDDEN, "Blocked");
pub(crate) static BANNED: Kind = Kind::new("banned", StatusCode::FORBIDDEN, "Banned");
pub(crate) static NOT_FOUND: Kind = Kind::new("not_found", StatusCode::NOT_FOUND, "Not found");
pub(crate) static NO_SUCH_ROUTE: Kind = Kind::new("no_such_route", StatusCode::NOT_FOUND, "No such route");
pub(crate) static METHOD_NOT_ALLOWED: Kind =
    Kind::new("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
pub(crate) static REQUEST_TIMEOUT: Kind =
    Kind::new("request_timeout", StatusCode::REQUEST_TIMEOUT, "Request took too long");
pub(crate) static NOT_JOINED: Kind = Kind::new("not_joined", StatusCode::CONFLICT, "Topic not joined");
pub(crate) static TOO_MANY_JOINS: Kind = Kind::new("too_many_joins", StatusCode::CONFLICT, "Too many joins");
pub(crate) static USER_BANNED: Kind = Kind::new("user_banned", StatusCode::CONFLICT, "User banned");
pub(crate) static GROUP_FULL: Kind = Kind::new("group_full", StatusCode::CONFLICT, "Group full");
pub(crate) static LAST_SUPERADMIN: Kind = Kind::new("last_superadmin", StatusCode::CONFLICT, "Last superadmin");
pub(crate) static NO_FURTHER_ROLE: Kind = Kind::new("no_further_role", StatusCode::CONFLICT, "No further role");
pub(crate) static MESSAGE_REMOVED: Kind = Kind::new("message_removed", StatusCode::CONFLICT, "Message removed");
pub(crate) static CONTENT_TOO_LARGE: Kind =
    Kind::new("content_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Content too large");
pub(crate) static BODY_TOO_LARGE: Kind = Kind::new("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large");
pub(crate) static INVALID: Kind = Kind::new("invalid", StatusCode::UNPROCESSABLE_ENTITY, "Invalid value");
pub(crate) static KEY_REUSED: Kind =
    Kind::new("idempotency_key_reused", StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused");
pub(crate) static RATE_LIMITED: Kind = Kind::new("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests");
pub(crate) static INTERNAL: Kind = Kind::new("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
pub(crate) static UNAVAILABLE: Kind =
    Kind::new("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable");

/// Every kind there is, by status: the contract's list of codes.
pub(crate) static KINDS: [&Kind; 24] = [
    &MALFORMED_JSON,
    &BAD_CURSOR,
    &UNAUTHENTICATED,
    &FORBIDDEN,
    &BLOCKED,
    &BANNED,
    &NOT_FOUND,
    &NO_SUCH_ROUTE,
    &METHOD_NOT_ALLOWED,
    &REQUEST_TIMEOUT,
    &NOT_JOINED,
    &TOO_MANY_JOINS,
    &USER_BANNED,
    &GROUP_FULL,
    &LAST_SUPERADMIN,
    &NO_FURTHER_ROLE,
    &MESSAGE_REMOVED,
    &CONTENT_TOO_LARGE,
    &BODY_TOO_LARGE,
    &INVALID,
    &KEY_REUSED,
    &RATE_LIMITED,
    &INTERNAL,
    &UNAVAILABLE,
];

/// How long a client is asked to stay away when the database does not answer: about what a fail-over's first retries
/// want, and long enough that waiting clients do not become the load.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);

/// Our own fault told with its cause and sources, for the log line of the request. It travels in the response's
/// extensions, as only the middleware knows the request id that the client is told to quote.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) Arc<str>);

/// A refusal on its way to the client. In `openapi.yaml` it is the schema of every error's body.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

impl Problem {
    /// A problem of this kind. The detail says what to do; it is made a sentence here, so callers need not.
    pub(crate) fn new(kind: &'static Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: sentence(detail.into()), retry_after: None, cause: None }
    }

    /// 422: a value has the wrong form.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&INVALID, detail)
    }

    /// 401: no usable credential.
    pub(crate) fn unauthenticated(detail: &'static str) -> Self {
        Self::new(&UNAUTHENTICATED, detail)
    }

    /// 500: our own fault. The client learns nothing of it; `cause` goes to the log with the request's id.
    pub(crate) fn internal(cause: &str) -> Self {
        let detail = "something went wrong on our side: report the x-request-id of this response";
        Self { cause: Some(Cause(cause.into())), ..Self::new(&INTERNAL, detail) }
    }

    #[must_use]
    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        let kind = match &error {
            ChatError::Unauthenticated(_) => &UNAUTHENTICATED,
            ChatError::Forbidden(_) => &FORBIDDEN,
            ChatError::Invalid(_) => &INVALID,
            ChatError::Blocked => &BLOCKED,
            ChatError::Banned => &BANNED,
            ChatError::UserBanned => &USER_BANNED,
            ChatError::GroupFull => &GROUP_FULL,
            ChatError::LastSuperadmin => &LAST_SUPERADMIN,
            ChatError::NoFurtherRole(_) => &NO_FURTHER_ROLE,
            ChatError::MessageRemoved => &MESSAGE_REMOVED,
            ChatError::NotFound(_) => &NOT_FOUND,
            ChatError::NotJoined => &NOT_JOINED,
            ChatError::TooManyJoins { .. } => &TOO_MANY_JOINS,
            ChatError::KeyReused => &KEY_REUSED,
            ChatError::BadCursor => &BAD_CURSOR,
            ChatError::ContentTooLarge { .. } => &CONTENT_TOO_LARGE,
            ChatError::RateLimited { .. } => &RATE_LIMITED,
            ChatError::Unavailable => &UNAVAILABLE,
            ChatError::Internal(cause) => return Self::internal(&with_sources(&**cause)),
        };
        let problem = Self::new(kind, error.to_string());
        match error {
            ChatError::RateLimited { retry_after } => problem.retry_after(retry_after),
            ChatError::Unavailable => problem.retry_after(UNAVAILABLE_RETRY),
            _ => problem,
        }
    }
}

/// The body of every error (RFC 9457), `application/problem+json`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:parlour:not_joined",
    "title": "Topic not joined",
    "status": 409,
    "detail": "Join the topic first: PUT /v1/session/topics/{topic}.",
    "code": "not_joined",
}))]
struct ProblemBody {
    /// `urn:parlour:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// A summary, the same for every problem of this code.
    title: &'static str,
    /// The response's status.
    status: u16,
    /// What is wrong this time, and what to do.
    detail: Cow<'static, str>,
    /// A stable slug to compare.
    code: &'static str,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        ProblemBody::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        ProblemBody::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ProblemBody::schemas(schemas);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Kind { code, status, title } = *self.kind;
        let kind = format!("urn:parlour:{code}");
        let body = ProblemBody { kind, title, status: status.as_u16(), detail: self.detail, code };
        // Serializing strings and a number cannot fail; an empty body would still carry the status.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"parlour\""));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        // What is left of the request is still on its way, so the connection cannot be used again: say so, or the
        // client's next request is lost (RFC 9110 §15.5.9, §15.5.14).
        if *self.kind == REQUEST_TIMEOUT || *self.kind == BODY_TOO_LARGE {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

/// The router's fallback: 404 `no_such_route`.
pub(crate) async fn no_such_route() -> Problem {
    nothing_here()
}

/// 404 `no_such_route`.
pub(crate) fn nothing_here() -> Problem {
    Problem::new(&NO_SUCH_ROUTE, "there is nothing at this path: see /openapi.yaml for what there is")
}

/// The router's fallback for a known path: 405 `method_not_allowed`. axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(&METHOD_NOT_ALLOWED, "this path does not know the method: see the Allow header")
}

/// How a panic becomes a response.
type OnPanic = fn(Box<dyn Any + Send>) -> Response;

/// A panic in a handler costs its own request a 500, and the connection and everyone else nothing.
pub(crate) fn catch_panic() -> CatchPanicLayer<OnPanic> {
    #[expect(clippy::needless_pass_by_value, reason = "the shape of a panic handler")]
    fn respond(payload: Box<dyn Any + Send>) -> Response {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Problem::internal(&format!("panic: {}", text.unwrap_or("of unknown kind"))).into_response()
    }
    CatchPanicLayer::custom(respond as OnPanic)
}

/// Rounded up, and at least 1: a client that comes back too early is only refused again.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    rounded.max(1)
}

/// An error and its sources in one line. A source that its error has already quoted is not told twice.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// Begins with a capital, unless it begins with the name of a field, which has none, and ends in a full stop.
fn sentence(text: Cow<'static, str>) -> Cow<'static, str> {
    let field = text.split(' ').next().is_some_and(|word| word.contains('_'));
    let lower = !field && text.starts_with(|c: char| c.is_ascii_lowercase());
    let open = !text.ends_with(['.', '!', '?', '…']);
    if !lower && !open {
        return text;
    }
    let mut text = text.into_owned();
    if lower && let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if open {
        text.push('.');
    }
    text.into()
}

#[cfg(test)]
mod tests;
