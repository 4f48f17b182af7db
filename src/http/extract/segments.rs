//! The captures of a route's path, as text.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::text::decode;
use crate::http::problem::Problem;

/// The captures, percent-decoded: `Segments<String>` for one, `Segments<(String, String)>` for two. A path that is not
/// percent-encoded UTF-8 is 422 `invalid`.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // axum accepts a `%` that begins no escape; then one topic would have two spellings.
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
