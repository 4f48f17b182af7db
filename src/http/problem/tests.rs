//! Every error is a problem, has its headers, and keeps its cause to itself.

use std::collections::HashSet;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use axum::routing::get;
use axum::{Router, body};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

async fn read(response: Response) -> (StatusCode, HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let bytes = body::to_bytes(body, 4096).await.expect("a short body");
    (parts.status, parts.headers, serde_json::from_slice(&bytes).expect("JSON"))
}

#[tokio::test]
async fn a_refusal_carries_the_five_members_of_rfc_9457() {
    let (status, headers, body) = read(Problem::from(ChatError::NotJoined).into_response()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    let expected = serde_json::json!({
        "type": "urn:parlour:not_joined",
        "title": "Topic not joined",
        "status": 409,
        "detail": "Join the topic first: PUT /v1/session/topics/{topic}.",
        "code": "not_joined",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn each_refusal_carries_the_header_that_its_status_asks_for() {
    let (_, headers, _) = read(Problem::from(ChatError::Unauthenticated("sign in")).into_response()).await;
    assert_eq!(headers[WWW_AUTHENTICATE], "Bearer realm=\"parlour\"");
    let limited = ChatError::RateLimited { retry_after: Duration::from_millis(1_001) };
    let (status, headers, _) = read(Problem::from(limited).into_response()).await;
    assert_eq!((status, &headers[RETRY_AFTER]), (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(2)));
    let (status, headers, _) = read(Problem::from(ChatError::Unavailable).into_response()).await;
    assert_eq!((status, &headers[RETRY_AFTER]), (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1)));
    assert_eq!(whole_seconds(Duration::ZERO), 1);
}

#[derive(Debug, thiserror::Error)]
#[error("the statement failed")]
struct Outer(#[source] std::fmt::Error);

#[tokio::test]
async fn a_cause_goes_to_the_log_with_its_sources_and_not_to_the_client() {
    let response = Problem::from(ChatError::Internal(Box::new(Outer(std::fmt::Error)))).into_response();
    let cause = response.extensions().get::<InternalCause>().expect("a cause").0.clone();
    assert_eq!(&*cause, format!("the statement failed: {}", std::fmt::Error));
    let (status, _, body) = read(response).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.to_string().contains("statement"));
}

#[tokio::test]
async fn a_panic_a_wrong_path_and_a_wrong_method_are_problems_too() {
    let app = Router::new()
        .route(
            "/",
            get(async || {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(catch_panic());
    let call = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        read(app.clone().oneshot(request).await.expect("infallible")).await
    };
    let (_, _, body) = call("GET", "/").await;
    assert_eq!(body["code"], "internal");
    let (status, headers, body) = call("DELETE", "/").await;
    assert_eq!((status, &body["code"]), (StatusCode::METHOD_NOT_ALLOWED, &Value::from("method_not_allowed")));
    assert_eq!(headers[ALLOW], "GET,HEAD");
    let (status, _, body) = call("GET", "/elsewhere").await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &Value::from("no_such_route")));
}

#[test]
fn codes_are_slugs_and_each_stands_once() {
    let codes: HashSet<_> = KINDS.iter().map(|kind| kind.code).collect();
    assert_eq!(codes.len(), KINDS.len());
    assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}

#[test]
fn details_are_sentences() {
    assert_eq!(sentence("say it".into()), "Say it.");
    assert_eq!(sentence("`limit` is 1 to 100.".into()), "`limit` is 1 to 100.");
    assert_eq!(sentence("Übung".into()), "Übung.");
    assert_eq!(sentence("max_members takes 1 to 10000".into()), "max_members takes 1 to 10000.");
}
