//! JSON bodies: limited in size and time, read strictly, refused with a sentence that names the error.
//!
//! The content type is ignored on purpose: `curl -d` sends its own, and as no cookie is ever used there is no cross-site
//! request that a content type could prevent.

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

/// The time in which a whole body must arrive. Bodies are a few kilobytes: a slower one only occupies a connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of a body that is too large that is read and discarded before the refusal, in bytes. Closing a connection
/// with unread bytes makes the client's kernel discard the response; a client that sends more than this may lose it.
const DISCARD_BYTES: usize = 1 << 20;
/// The time that discarding may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest body that [`Body`] and [`OptionalBody`] read, in bytes. Part of the router's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON object. Malformed JSON is 400, a wrong, missing or unknown member 422 (for the last, `T` has
/// `#[serde(deny_unknown_fields)]`), a body that is too long 413, one that is too slow 408.
pub(crate) struct Body<T>(pub(crate) T);

/// Like [`Body`], but an absent body is the default of `T`.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse(&read_body(request, BodyLimit::from_ref(state).0, BODY_TIMEOUT).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read_body(request, BodyLimit::from_ref(state).0, BODY_TIMEOUT).await?;
        if bytes.trim_ascii().is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// Reads the whole body.
///
/// # Errors
/// 413 where it is longer than `limit` bytes, 408 where it takes longer than `timeout`, 400 where it ends too early.
pub(super) async fn read_body(request: Request, limit: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let expects_continue = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let read = if announced > limit {
        // A client that waits for 100 Continue (RFC 9110 §10.1.1) has sent nothing yet: there is nothing to discard.
        if expects_continue {
            return Err(too_large(limit));
        }
        Read::TooLarge
    } else {
        let Ok(read) = tokio::time::timeout(timeout, collect(&mut body, limit)).await else {
            let detail = format!("the body took longer than {} s: send it at once", timeout.as_secs());
            return Err(Problem::new(&REQUEST_TIMEOUT, detail));
        };
        read?
    };
    match read {
        Read::Whole(bytes) => Ok(bytes),
        Read::TooLarge => {
            // The response is the same whether or not this ends in time.
            let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut body)).await;
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

async fn discard(body: &mut Incoming) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARD_BYTES {
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
            // serde would accept an array of a struct's members in order, which is not in the contract.
            serde_json::from_str::<IgnoredAny>(text).map_err(refuse)?;
            Err(Problem::invalid("the body must be a JSON object"))
        }
        None => Err(malformed("it is empty")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn refuse(error: serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => Problem::invalid(format!("the body does not fit: {}", shorten(&error.to_string()))),
        Category::Syntax | Category::Eof | Category::Io => malformed(&shorten(&error.to_string())),
    }
}

fn malformed(why: &str) -> Problem {
    Problem::new(&MALFORMED_JSON, format!("the body is not JSON: {why}"))
}
