//! Query parameters, read strictly: an unknown, repeated or wrong one is refused and never ignored. A misspelt `limt=10`
//! that is answered with 50 messages would be noticed much later.

use std::error::Error as _;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{RefOr, Schema, Type};

use super::text::{decode, shorten};
use crate::http::problem::Problem;

/// The query as a `T`, which has `#[serde(deny_unknown_fields)]`. Any other query is 422 `invalid`, and the detail names
/// the parameter.
pub(crate) struct StrictQuery<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = pairs(parts.uri.query().unwrap_or_default())?;
        let read = Query::try_from_uri(&parts.uri);
        read.map(|Query(params)| Self(params)).map_err(|error| refuse(&pairs, &T::into_params(|| None), &error))
    }
}

/// Splits and decodes `application/x-www-form-urlencoded` (WHATWG URL §5.1), but strictly.
fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        let (Some(name), Some(value)) = (plain(name), plain(value)) else {
            return Err(Problem::invalid("the query is not percent-encoded UTF-8: encode each value"));
        };
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Problem::invalid(format!("`{}` stands twice in the query: send it once", shorten(&name))));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// The refusal of a query, with what the parameters of the operation take.
fn refuse(pairs: &[(String, String)], parameters: &[Parameter], error: &QueryRejection) -> Problem {
    if let Some((name, _)) = pairs.iter().find(|(name, _)| parameters.iter().all(|known| known.name != *name)) {
        let known: Vec<_> = parameters.iter().map(|parameter| &*parameter.name).collect();
        let name = shorten(name);
        return Problem::invalid(format!("there is no query parameter `{name}` here: there is {}", known.join(", ")));
    }
    // The cause reads `limit: invalid digit found in string`.
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let (name, cause) = cause.split_once(": ").unwrap_or(("", &cause));
    let parameter = parameters.iter().find(|parameter| parameter.name == name);
    let value = pairs.iter().find(|(known, _)| known == name).map(|(_, value)| shorten(value)).unwrap_or_default();
    Problem::invalid(match parameter.and_then(takes) {
        Some(expected) => format!("`{name}`: invalid value: string {value:?}, expected {expected}"),
        None => shorten(&format!("`{name}`: {cause}")),
    })
}

/// The values that a parameter accepts if it is not a text.
fn takes(parameter: &Parameter) -> Option<&'static str> {
    let Some(RefOr::T(Schema::Object(schema))) = &parameter.schema else { return None };
    match schema.schema_type {
        SchemaType::Type(Type::Integer) => Some("a whole number, 0 or more"),
        SchemaType::Type(Type::Boolean) => Some("true or false"),
        _ => None,
    }
}
