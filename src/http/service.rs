//! What concerns the service itself: health, metrics, the contract.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::state::Shared;
use super::{metrics, web};
use crate::chat::ChatError;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(root))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics_page))
        .routes(routes!(openapi_yaml))
        .routes(routes!(openapi_json))
}

/// How long the database may take before the instance counts as not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// A state in a word.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether an instance can serve, and what it does without.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = "ok")]
    status: &'static str,
    /// `ok`, or `away`: then what happens on other instances is told a little later.
    #[schema(example = "ok")]
    bus: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// A page to chat in, for browsers; for all others, where to look
#[utoipa::path(
    get, path = "/", tag = "service", operation_id = "root",
    responses((status = 200, description = "A few lines of text, or the page (`Accept: text/html`).", content(
        (String = "text/plain"),
        (String = "text/html"),
    ))),
)]
async fn root(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let page = shared.service.web_client.then(|| web::page(&headers)).flatten();
    let mut response = page.unwrap_or_else(|| ROOT.into_response());
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

const ROOT: &str = concat!(
    "Parlour ",
    env!("CARGO_PKG_VERSION"),
    ": chat over plain HTTP.\n\n",
    "/docs          the reference of the API\n",
    "/openapi.yaml  the contract (or /openapi.json)\n",
    "/parlour.js    the client module for web pages\n",
    "/healthz       whether the process lives\n",
    "/readyz        whether it can serve\n",
    "/metrics       what it does, for Prometheus\n\n",
    "curl -s localhost:8080/v1/sessions -d '{\"device_id\": \"0123456789abcdef\"}'\n",
);

/// Whether the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "It does.", body = Health)),
)]
async fn healthz() -> Json<Health> {
    OK
}

/// Whether the instance can serve: its database answers, and it is not stopping
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "readyz",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "Send requests elsewhere for now (`unavailable`)."),
    ),
)]
async fn readyz(State(shared): State<Shared>) -> Result<Json<Readiness>, Problem> {
    if shared.service.draining.is_cancelled() {
        return Err(ChatError::Unavailable.into());
    }
    let answer = tokio::time::timeout(PATIENCE, shared.chat.ready()).await;
    answer.unwrap_or(Err(ChatError::Unavailable))?;
    let bus = if shared.chat.hub().bus_healthy() { "ok" } else { "away" };
    Ok(Json(Readiness { status: "ok", bus }))
}

/// Counters and histograms, as Prometheus reads them
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
)]
async fn metrics_page(State(shared): State<Shared>) -> impl IntoResponse {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    ::metrics::gauge!("parlour_streams").set(shared.chat.hub().streams() as f64);
    ::metrics::gauge!("parlour_bus_up").set(if shared.chat.hub().bus_healthy() { 1.0 } else { 0.0 });
    metrics::page()
}

/// The contract, as YAML
#[utoipa::path(
    get, path = "/openapi.yaml", tag = "service", operation_id = "openapi_yaml",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/yaml")),
)]
async fn openapi_yaml(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], shared.service.openapi.yaml.clone())
}

/// The contract, as JSON
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "openapi_json",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")),
)]
async fn openapi_json(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], shared.service.openapi.json.clone())
}
