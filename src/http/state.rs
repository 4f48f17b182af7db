//! The state that handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use super::address::TrustedProxies;
use super::extract::BodyLimit;
use super::openapi::Document;
use super::rate::RateLimits;
use crate::chat::Chat;

/// The router's state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) chat: Chat,
    pub(crate) rates: Arc<RateLimits>,
    pub(crate) body_limit: BodyLimit,
    pub(crate) proxies: TrustedProxies,
    pub(crate) service: Service,
}

impl FromRef<Shared> for Chat {
    fn from_ref(shared: &Shared) -> Self {
        shared.chat.clone()
    }
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

/// The state of this process that health checks and the service's own routes read.
#[derive(Clone)]
pub(crate) struct Service {
    /// Cancelled when the instance begins to stop: from then on it is not ready.
    pub(crate) draining: CancellationToken,
    /// The contract, as YAML and as JSON.
    pub(crate) openapi: Arc<Document>,
    /// True if `/` serves the web client.
    pub(crate) web_client: bool,
}
