//! Cross-origin requests. A web page of any origin may call the service by default: no cookie is ever used, so a browser
//! never sends a credential that the page itself does not have.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LINK, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_id::X_REQUEST_ID;
use crate::config::CorsOrigins;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The time for which a browser may cache a preflight. Browsers have their own maximum, Chromium two hours.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The layer that answers preflights and marks responses (WHATWG Fetch §3.3), for the methods and headers of the
/// contract. It must be inside [`super::request_id::track`], so that responses to preflights have an id, too.
pub(crate) fn cors_layer(origins: &CorsOrigins) -> CorsLayer {
    let wildcard = HeaderValue::from_static("*");
    let origins = match origins {
        CorsOrigins::List(list) if !list.contains(&wildcard) => AllowOrigin::list(list.iter().cloned()),
        _ => AllowOrigin::any(),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, LAST_EVENT_ID, X_REQUEST_ID])
        .expose_headers([LINK, RETRY_AFTER, X_REQUEST_ID])
        .max_age(MAX_AGE)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{HeaderMap, Request};
    use axum::routing::put;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(origins: &CorsOrigins, method: &str, origin: &str) -> HeaderMap {
        let app = Router::new().route("/", put(async || ())).layer(cors_layer(origins));
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .body(Body::empty())
            .expect("a request");
        app.oneshot(request).await.expect("infallible").headers().clone()
    }

    #[tokio::test]
    async fn by_default_any_origin_may_send_and_read_what_the_contract_names() {
        let preflight = ask(&CorsOrigins::Any, "OPTIONS", "https://a.example").await;
        assert_eq!(preflight["access-control-allow-origin"], "*");
        assert_eq!(preflight["access-control-allow-methods"], "GET,POST,PUT,PATCH,DELETE");
        let allowed = "authorization,content-type,idempotency-key,last-event-id,x-request-id";
        assert_eq!(preflight["access-control-allow-headers"], allowed);
        assert_eq!(preflight["access-control-max-age"], "3600");
        let answer = ask(&CorsOrigins::Any, "PUT", "https://a.example").await;
        assert_eq!(answer["access-control-expose-headers"], "link,retry-after,x-request-id");
    }

    #[tokio::test]
    async fn a_list_lets_only_its_own_in() {
        let list = CorsOrigins::List(vec![HeaderValue::from_static("https://a.example")]);
        let known = ask(&list, "PUT", "https://a.example").await;
        assert_eq!(known["access-control-allow-origin"], "https://a.example");
        assert!(!ask(&list, "PUT", "https://b.example").await.contains_key("access-control-allow-origin"));
    }
}
