//! What handlers take from a request. Each extractor's refusal is a [`Problem`], so that no answer of axum's own ever
//! reaches a client. Values are only unpacked here; what they mean is parsed into model types by the handlers.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use super::problem::Problem;

mod body;
mod query;
mod whole;

pub(crate) use body::{Body, BodyLimit, OptionalBody};
pub(crate) use query::Params;
pub(crate) use whole::Whole;

/// The longest `Last-Event-ID` that is read, in bytes. Ours are far shorter; what is longer is not ours.
const MAX_EVENT_ID: usize = 4096;

/// The captures of the route's path, percent-decoded: `Segments<String>` for one, `Segments<(String, String)>` for
/// two. What is not percent-encoded UTF-8 is 422 `invalid`.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // axum lets a `%` pass that begins no escape; then one topic would have two spellings.
        if decode(parts.uri.path()).is_none() {
            return Err(not_encoded());
        }
        match <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(PathRejection::FailedToDeserializePathParams(error)) if error.status().is_client_error() => {
                Err(not_encoded())
            }
            // The route and its handler disagree about the captures.
            Err(error) => Err(Problem::internal(&error.to_string())),
        }
    }
}

fn not_encoded() -> Problem {
    Problem::invalid("the path is not percent-encoded UTF-8: encode each segment, as encodeURIComponent does")
}

/// The credential of `Authorization: Bearer TOKEN` (RFC 6750 §2.1). Has no `Debug`, as tokens never appear in logs.
/// As an `Option`, a request without the header is `None`; a header that holds no token is 401 either way.
pub(crate) struct BearerToken(String);

impl BearerToken {
    /// The token as it was sent: not yet checked.
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

/// The `Idempotency-Key` header, where there is one: 1 to 128 visible ASCII characters, once; else 422.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(Problem::invalid("the Idempotency-Key header stands twice: send it once"));
        }
        let key = visible_ascii(value).ok_or_else(|| {
            Problem::invalid("the Idempotency-Key header must be 1 to 128 visible ASCII characters, without spaces")
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

/// 1 to 128 visible ASCII characters: what ids that clients choose may look like. Safe in logs and in headers.
pub(super) fn visible_ascii(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
}

/// The `Last-Event-ID` header (WHATWG HTML §9.2.3). What cannot be one of ours (longer than 4096 bytes, not UTF-8)
/// counts as none, as an EventSource could not mend it.
pub(crate) struct LastEventId(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let value = parts.headers.get("last-event-id").map(HeaderValue::as_bytes);
        let text = value.filter(|bytes| (1..=MAX_EVENT_ID).contains(&bytes.len()));
        Ok(Self(text.and_then(|bytes| str::from_utf8(bytes).ok()).map(str::to_owned)))
    }
}

/// Percent-decodes strictly: every `%` begins an escape, and the result is UTF-8. A lenient decoder would let two
/// different requests mean the same, or one request mean what nobody wrote.
fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let clean = bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || is_escape(at));
    let decoded = clean.then(|| percent_encoding::percent_decode(bytes).decode_utf8().ok());
    decoded.flatten().map(Into::into)
}

#[cfg(test)]
mod tests;
