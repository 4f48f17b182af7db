//! The parts of a request as handlers take them. Each extractor refuses with a [`Problem`](super::problem::Problem), so
//! that no response of axum's own ever reaches a client.

mod body;
mod headers;
mod integer;
mod query;
mod segments;
mod text;

pub(crate) use body::{Body, BodyLimit, OptionalBody};
pub(crate) use headers::{BearerToken, IdempotencyKey, LastEventId, visible_ascii};
pub(crate) use integer::Integer;
pub(crate) use query::StrictQuery;
pub(crate) use segments::Segments;

#[cfg(test)]
mod tests;
