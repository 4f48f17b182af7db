//! JSON bodies: bounded in size and time, read strictly, refused in sentences.
//!
//! The content type is not looked at, on purpose: `curl -d` sends its own, and as no cookie is ever used there is no
//! cross-site request that a content type could keep out.

use std::time::Duration;

use axum::body::Body as Incoming;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::text::shorten;
use crate::http::problem::{BODY_TOO_LARGE, MALFORMED_JSON, Problem, REQUEST_TIMEOUT};

/// How long a whole body may take. Bodies are some kilobytes: what trickles longer than this only holds a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a body that is too large is read and dropped before the refusal, in bytes and in time. Closing with
/// unread bytes makes the client's kernel throw our answer away; who sends more than this may lose it.
const OVERFLOW: usize = 1 << 20;
const OVERFLOW_PATIENCE: Duration = Duration::from_secs(2);

/// The longest body that [`Body`] and [`OptionalBody`] read, in bytes. Part of the router's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON object. Malformed JSON is 400, a wrong, missing or unknown member 422 (for the last, `T` has
/// `#[serde(deny_unknown_fields)]`), too long a body 413, too slow a one 408.
pub(crate) struct Body<T>(pub(crate) T);

/// Like [`Body`], but without a body `T` is its default.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse(&whole(request, BodyLimit::from_ref(state).0, PATIENCE).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = whole(request, BodyLimit::from_ref(state).0, PATIENCE).await?;
        if bytes.trim_ascii().is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// The whole body, or why it cannot be had.
pub(super) async fn whole(request: Request, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    let waits = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let read = if announced > limit {
        // Who asked first (RFC 9110 §10.1.1) has sent nothing yet: there is nothing to drop.
        if waits {
            return Err(too_large(limit));
        }
        Read::TooLarge
    } else {
        let Ok(read) = tokio::time::timeout(patience, collect(&mut body, limit)).await else {
            let detail = format!("the body took longer than {} s: send it at once", patience.as_secs());
            return Err(Problem::new(&REQUEST_TIMEOUT, detail));
        };
        read?
    };
    match read {
        Read::Whole(bytes) => Ok(bytes),
        Read::TooLarge => {
            // Only a courtesy: the answer is the same however far this gets.
            let _ = tokio::time::timeout(OVERFLOW_PATIENCE, drop_some(&mut body)).await;
            Err(too_large(limit))
        }
    }
}

enum Read {
    Whole(Bytes),
    TooLarge,
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Read, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Problem::new(&MALFORMED_JSON, "the body ended before it was whole: send it again"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Ok(Read::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Read::Whole(bytes.freeze()))
}

async fn drop_some(body: &mut Incoming) {
    let mut dropped = 0;
    while let Some(Ok(frame)) = body.frame().await {
        dropped += frame.data_ref().map_or(0, Bytes::len);
        if dropped > OVERFLOW {
            break;
        }
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(&BODY_TOO_LARGE, format!("the body is longer than {limit} bytes: send less"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).map_err(refuse),
        Some(_) => {
            // serde would take an array as a struct's members in order, which nobody has promised to clients.
            serde_json::from_str::<IgnoredAny>(text).map_err(refuse)?;
            Err(Problem::invalid("the body must be a JSON object"))
        }
        None => Err(malformed("it is empty")),
    }
}

// By value, as `map_err` hands it over.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refuse(error: serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => Problem::invalid(format!("the body does not fit: {}", shorten(&error.to_string()))),
        Category::Syntax | Category::Eof | Category::Io => malformed(&shorten(&error.to_string())),
    }
}

fn malformed(why: &str) -> Problem {
    Problem::new(&MALFORMED_JSON, format!("the body is not JSON: {why}"))
}
