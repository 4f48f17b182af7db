//! What handlers share, and who calls.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;
use bytes::Bytes;

use super::address::TrustedProxies;
use super::extract::{BearerToken, BodyLimit};
use super::problem::Problem;
use super::rate::RateLimits;
use crate::chat::{Caller, Chat, ChatError, Claims};
use tokio_util::sync::CancellationToken;

/// The router's state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) chat: Chat,
    pub(crate) rates: Arc<RateLimits>,
    pub(crate) body_limit: BodyLimit,
    pub(crate) proxies: TrustedProxies,
    pub(crate) service: Service,
}

impl FromRef<Shared> for BodyLimit {
    fn from_ref(shared: &Shared) -> Self {
        shared.body_limit
    }
}

impl FromRef<Shared> for TrustedProxies {
    fn from_ref(shared: &Shared) -> Self {
        shared.proxies.clone()
    }
}

/// What concerns the process.
#[derive(Clone)]
pub(crate) struct Service {
    /// Cancelled once the instance stops: it is not ready any more.
    pub(crate) draining: CancellationToken,
    /// The contract, in both of its forms.
    pub(crate) openapi: Arc<super::openapi::Document>,
    /// Whether `/` is a page to chat in.
    pub(crate) web_client: bool,
}

/// The caller of a session token, whose session lives.
pub(crate) struct Session(pub(crate) Caller);

/// What a session token says; whether its session lives is for the act to find out.
pub(crate) struct Signed(pub(crate) Claims);

impl FromRequestParts<Shared> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let token = <BearerToken as FromRequestParts<Shared>>::from_request_parts(parts, shared).await?;
        let claims = shared.chat.claims(token.as_str())?;
        // Whoever wants to go may go, however much they have done before.
        let signs_out = parts.method == Method::DELETE && parts.uri.path() == "/v1/session";
        if !signs_out {
            shared.rates.check_call(claims.session)?;
        }
        Ok(Self(claims))
    }
}

impl FromRequestParts<Shared> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let Signed(claims) = Signed::from_request_parts(parts, shared).await?;
        Ok(Self(shared.chat.caller(&claims).await?))
    }
}

/// How many items a page of a list has: 1 to 100, 50 where nothing is said.
pub(crate) fn page_size(limit: Option<u32>) -> Result<usize, ChatError> {
    match limit.unwrap_or(50) {
        limit @ 1..=100 => Ok(limit as usize),
        _ => Err(ChatError::invalid("limit must be 1 to 100")),
    }
}

/// A page of a list of which one item more was read than it has: what goes out, and the cursor where there is more.
pub(crate) fn cut<T, D: From<T>>(
    mut items: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> (Vec<D>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    (items.into_iter().map(D::from).collect(), next)
}

/// Bytes that are JSON already.
pub(crate) fn json(bytes: Bytes) -> ([(axum::http::HeaderName, &'static str); 1], Bytes) {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], bytes)
}
