//! HTTP: the routes with their requests and responses, one file per noun. Handlers parse, call `chat`, and render; the
//! rules of the service are in `chat`.

mod address;
mod auth;
mod blocks;
mod cors;
mod extract;
mod groups;
mod inbox;
mod json;
mod members;
mod messages;
mod metrics;
mod openapi;
mod paging;
mod path;
mod problem;
mod rate;
mod request_id;
mod server;
mod service;
mod sessions;
mod state;
mod stream;
mod topics;
mod typing;
mod users;
mod web;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use self::extract::BodyLimit;
use self::openapi::Document;
use self::state::{Service, Shared};
use crate::chat::Chat;
use crate::config::Config;
use crate::model::Clock;

pub(crate) use self::metrics::{install as install_metrics, upkeep as keep_up_metrics};
pub(crate) use self::rate::RateLimits;
pub(crate) use self::server::serve;

fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(sessions::router())
        .merge(users::router())
        .merge(blocks::router())
        .merge(topics::router())
        .merge(messages::router())
        .merge(groups::router())
        .merge(members::router())
        .merge(inbox::router())
        .merge(typing::router())
        .merge(stream::router())
        .merge(service::router())
}

/// The whole service as a router.
pub(crate) fn router(
    config: &Config,
    chat: Chat,
    rates: Arc<RateLimits>,
    clock: Clock,
    draining: CancellationToken,
) -> Router {
    let (routes, api) = routes().split_for_parts();
    let shared = Shared {
        chat,
        rates,
        // The limit on content counts neither white space nor the members around it.
        body_limit: BodyLimit(config.max_content_bytes * 2 + 8 * 1024),
        proxies: address::TrustedProxies::new(config.trusted_proxies.clone()),
        service: Service { draining, openapi: Arc::new(Document::new(api)), web_client: config.web_client },
    };
    // The outermost first. As a tuple they are one layer: the router boxes a future per layer and request.
    let layers =
        (from_fn_with_state(clock, request_id::track), cors::cors_layer(&config.cors_origins), problem::catch_panic());
    routes
        .merge(web::router(config.web_client))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(layers)
        .with_state(shared)
}

/// The contract, as YAML.
pub fn openapi_yaml() -> String {
    String::from_utf8_lossy(&document().yaml).into_owned()
}

/// The contract, as JSON.
pub fn openapi_json() -> String {
    String::from_utf8_lossy(&document().json).into_owned()
}

fn document() -> Document {
    Document::new(routes().into_openapi())
}
