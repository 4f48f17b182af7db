//! Errors as clients get them: `application/problem+json` (RFC 9457). This file holds the table of all codes, and it alone
//! maps [`ChatError`] to a response. Handlers return `Result<T, Problem>`.

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
pub(crate) struct ProblemKind {
    /// The stable slug that clients compare; `type` is `urn:parlour:` followed by it.
    pub(crate) code: &'static str,
    /// The response's status.
    pub(crate) status: StatusCode,
    /// A summary that is the same for every problem of this kind (RFC 9457 §3.1.3).
    pub(crate) title: &'static str,
}

const fn kind(code: &'static str, status: StatusCode, title: &'static str) -> ProblemKind {
    ProblemKind { code, status, title }
}

pub(crate) static MALFORMED_JSON: ProblemKind = kind("malformed_json", StatusCode::BAD_REQUEST, "Malformed JSON");
pub(crate) static BAD_CURSOR: ProblemKind = kind("bad_cursor", StatusCode::BAD_REQUEST, "Bad cursor");
pub(crate) static UNAUTHENTICATED: ProblemKind = kind("unauthenticated", StatusCode::UNAUTHORIZED, "Not signed in");
pub(crate) static FORBIDDEN: ProblemKind = kind("forbidden", StatusCode::FORBIDDEN, "Forbidden");
pub(crate) static BLOCKED: ProblemKind = kind("blocked", StatusCode::FORBIDDEN, "Blocked");
pub(crate) static BANNED: ProblemKind = kind("banned", StatusCode::FORBIDDEN, "Banned");
pub(crate) static NOT_FOUND: ProblemKind = kind("not_found", StatusCode::NOT_FOUND, "Not found");
pub(crate) static NO_SUCH_ROUTE: ProblemKind = kind("no_such_route", StatusCode::NOT_FOUND, "No such route");
pub(crate) static METHOD_NOT_ALLOWED: ProblemKind =
    kind("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
pub(crate) static REQUEST_TIMEOUT: ProblemKind =
    kind("request_timeout", StatusCode::REQUEST_TIMEOUT, "Request took too long");
pub(crate) static NOT_JOINED: ProblemKind = kind("not_joined", StatusCode::CONFLICT, "Topic not joined");
pub(crate) static TOO_MANY_JOINS: ProblemKind = kind("too_many_joins", StatusCode::CONFLICT, "Too many joins");
pub(crate) static USER_BANNED: ProblemKind = kind("user_banned", StatusCode::CONFLICT, "User banned");
pub(crate) static GROUP_FULL: ProblemKind = kind("group_full", StatusCode::CONFLICT, "Group full");
pub(crate) static LAST_SUPERADMIN: ProblemKind = kind("last_superadmin", StatusCode::CONFLICT, "Last superadmin");
pub(crate) static NO_FURTHER_ROLE: ProblemKind = kind("no_further_role", StatusCode::CONFLICT, "No further role");
pub(crate) static MESSAGE_REMOVED: ProblemKind = kind("message_removed", StatusCode::CONFLICT, "Message removed");
pub(crate) static CONTENT_TOO_LARGE: ProblemKind =
    kind("content_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Content too large");
pub(crate) static BODY_TOO_LARGE: ProblemKind = kind("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large");
pub(crate) static INVALID: ProblemKind = kind("invalid", StatusCode::UNPROCESSABLE_ENTITY, "Invalid value");
pub(crate) static KEY_REUSED: ProblemKind =
    kind("idempotency_key_reused", StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused");
pub(crate) static RATE_LIMITED: ProblemKind = kind("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests");
pub(crate) static INTERNAL: ProblemKind = kind("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
pub(crate) static UNAVAILABLE: ProblemKind =
    kind("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable");

/// All kinds, ordered by status: the list of codes in the contract.
pub(crate) static KINDS: [&ProblemKind; 24] = [
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

/// The `Retry-After` while the database cannot be reached: about as long as the first retries after a failover need, and
/// long enough that the waiting clients do not overload the service.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);

/// The cause of an internal error with its sources, for the log line of the request. It is an extension of the response,
/// as only the middleware has the request id that the client is asked to report.
#[derive(Clone, Debug)]
pub(super) struct InternalCause(pub(super) Arc<str>);

/// An error response. In `openapi.yaml` it is the schema of every error's body.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static ProblemKind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    cause: Option<InternalCause>,
}

impl Problem {
    /// A problem of this kind. The detail tells the client what to do; this function makes it a sentence, with a capital
    /// letter and a full stop.
    pub(crate) fn new(kind: &'static ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: sentence(detail.into()), retry_after: None, cause: None }
    }

    /// 422: a value is invalid.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&INVALID, detail)
    }

    /// 401: no valid credential.
    pub(crate) fn unauthenticated(detail: &'static str) -> Self {
        Self::new(&UNAUTHENTICATED, detail)
    }

    /// 500: an error inside the service. The client gets no details; `cause` goes to the log with the request id.
    pub(crate) fn internal(cause: &str) -> Self {
        let detail = "something went wrong on our side: report the x-request-id of this response";
        Self { cause: Some(InternalCause(cause.into())), ..Self::new(&INTERNAL, detail) }
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
    /// The URI of this kind of error: `urn:parlour:` followed by `code`.
    #[serde(rename = "type")]
    kind: String,
    /// A short summary. It is the same for every error with this code.
    title: &'static str,
    /// The HTTP status of the response.
    status: u16,
    /// A sentence for people: the reason of this error, and what to do about it.
    detail: Cow<'static, str>,
    /// A stable identifier of this kind of error, for programs to compare.
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
        let ProblemKind { code, status, title } = *self.kind;
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
        // The rest of the request body is still being sent, so the connection cannot be used again. Without this header
        // the client's next request on it would be lost (RFC 9110 §15.5.9, §15.5.14).
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

/// The router's fallback for a known path with another method: 405 `method_not_allowed`. axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(&METHOD_NOT_ALLOWED, "this path does not know the method: see the Allow header")
}

/// A function that makes a response of a panic.
type OnPanic = fn(Box<dyn Any + Send>) -> Response;

/// The layer that makes a 500 of a panic in a handler. The connection and all other requests go on.
pub(crate) fn catch_panic() -> CatchPanicLayer<OnPanic> {
    #[expect(clippy::needless_pass_by_value, reason = "the shape of a panic handler")]
    fn respond(payload: Box<dyn Any + Send>) -> Response {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Problem::internal(&format!("panic: {}", text.unwrap_or("of unknown kind"))).into_response()
    }
    CatchPanicLayer::custom(respond as OnPanic)
}

/// Rounded up, and at least 1: a client that retries too early is only refused again.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    rounded.max(1)
}

/// An error and its sources in one line. A source that its error has already quoted is not repeated.
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

/// The text with a capital letter and a full stop. The name of a field at the beginning stays in lower case.
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
