//! Request headers: the credential, the idempotency key, the last event id.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use crate::http::problem::Problem;

/// The longest `Last-Event-ID` that is read, in bytes. The ids of this service are far shorter.
const MAX_EVENT_ID: usize = 4096;

/// The credential of `Authorization: Bearer TOKEN` (RFC 6750 §2.1). Has no `Debug`, as tokens never appear in logs.
/// As an `Option`, a request without the header is `None`; a header that holds no token is 401 either way.
pub(crate) struct BearerToken(String);

impl BearerToken {
    /// The token as it was sent, not yet verified.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn find(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let only = values.next().is_none();
        let token = only.then(|| token_of(value)).flatten();
        let token = token.ok_or_else(|| Problem::unauthenticated("the Authorization header must be: Bearer TOKEN"))?;
        Ok(Some(Self(token.to_owned())))
    }
}

/// The scheme's name is case-insensitive (RFC 9110 §11.1).
fn token_of(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', '\t']);
    fits.then_some(token)
}

impl<S: Send + Sync> FromRequestParts<S> for BearerToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let missing = || Problem::unauthenticated("send a session's token: Authorization: Bearer TOKEN");
        Self::find(&parts.headers)?.ok_or_else(missing)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for BearerToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Self::find(&parts.headers)
    }
}

/// The `Idempotency-Key` header, if there is one: 1 to 128 visible ASCII characters, at most once; otherwise 422.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(Problem::invalid("the Idempotency-Key header stands twice: send it once"));
        }
        let key = visible_ascii(value).ok_or_else(|| {
            Problem::invalid("the Idempotency-Key header must be 1 to 128 visible ASCII characters, without spaces")
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

/// The value if it is 1 to 128 visible ASCII characters: the form of ids that clients choose, safe in logs and in
/// headers.
pub(crate) fn visible_ascii(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
}

/// The `Last-Event-ID` header (WHATWG HTML §9.2.3). A value that cannot be an id of this service (longer than 4096
/// bytes, not UTF-8) counts as absent: an EventSource could do nothing about a refusal.
pub(crate) struct LastEventId(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let value = parts.headers.get("last-event-id").map(HeaderValue::as_bytes);
        let text = value.filter(|bytes| (1..=MAX_EVENT_ID).contains(&bytes.len()));
        Ok(Self(text.and_then(|bytes| str::from_utf8(bytes).ok()).map(str::to_owned)))
    }
}
