//! The routes of the service itself: health, metrics, the contract.

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

/// The time after which an instance whose database does not respond is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The health of the process.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The readiness of an instance, and the state of its connection to the other instances.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = "ok")]
    status: &'static str,
    /// `ok`, or `away` if the bus to the other instances cannot be reached. Then the events of other instances arrive a
    /// little later.
    #[schema(example = "ok")]
    bus: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Serves the web client to browsers, and a short text with the most important paths to other clients
#[utoipa::path(
    get, path = "/", tag = "service", operation_id = "root",
    responses((status = 200, description = "The web client if the request accepts `text/html` and the web client is on; otherwise a short text.", content(
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

/// Reports that the process is alive
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "The process is alive.", body = Health)),
)]
async fn healthz() -> Json<Health> {
    OK
}

/// Reports whether the instance can serve requests: its database responds, and it is not stopping
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "readyz",
    responses(
        (status = 200, description = "The instance can serve requests.", body = Readiness),
        (status = 503, description = "The instance cannot serve requests now. Send them to another instance (`unavailable`)."),
    ),
)]
async fn readyz(State(shared): State<Shared>) -> Result<Json<Readiness>, Problem> {
    if shared.service.draining.is_cancelled() {
        return Err(ChatError::Unavailable.into());
    }
    let ready = tokio::time::timeout(READY_TIMEOUT, shared.chat.ready()).await;
    ready.unwrap_or(Err(ChatError::Unavailable))?;
    let bus = if shared.chat.hub().bus_healthy() { "ok" } else { "away" };
    Ok(Json(Readiness { status: "ok", bus }))
}

/// Returns counters and histograms for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "The metrics, in the text format of Prometheus.", body = String, content_type = "text/plain")),
)]
async fn metrics_page(State(shared): State<Shared>) -> impl IntoResponse {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    ::metrics::gauge!("parlour_streams").set(shared.chat.hub().streams() as f64);
    ::metrics::gauge!("parlour_bus_up").set(if shared.chat.hub().bus_healthy() { 1.0 } else { 0.0 });
    metrics::page()
}

/// Returns the OpenAPI document as YAML
#[utoipa::path(
    get, path = "/openapi.yaml", tag = "service", operation_id = "openapi_yaml",
    responses((status = 200, description = "The OpenAPI 3.1 document of this service.", body = Object, content_type = "application/yaml")),
)]
async fn openapi_yaml(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], shared.service.openapi.yaml.clone())
}

/// Returns the OpenAPI document as JSON
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "openapi_json",
    responses((status = 200, description = "The OpenAPI 3.1 document of this service.", body = Object, content_type = "application/json")),
)]
async fn openapi_json(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], shared.service.openapi.json.clone())
}
