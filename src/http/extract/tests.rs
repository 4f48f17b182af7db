//! Each extractor on a small router: the requests that it accepts, and its refusals.

use axum::response::IntoResponse as _;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body as RawBody;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use tower::ServiceExt as _;

use super::body::read_body;
use super::text::shorten;
use super::*;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Draft {
    content: Option<Box<RawValue>>,
    #[serde(default)]
    count: u8,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Forward,
    Backward,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    direction: Option<Direction>,
    limit: Option<u16>,
    cursor: Option<String>,
    changes: Option<bool>,
}

fn app() -> Router {
    Router::new()
        .route("/body", post(async |Body(draft): Body<Draft>| describe(&draft)))
        .route("/optional", post(async |OptionalBody(draft): OptionalBody<Draft>| describe(&draft)))
        .route(
            "/page",
            get(async |StrictQuery(page): StrictQuery<Page>| {
                let direction =
                    page.direction.map(|d| if matches!(d, Direction::Forward) { "forward" } else { "backward" });
                format!("{direction:?} {:?} {:?} {:?}", page.limit, page.cursor, page.changes)
            }),
        )
        .route("/one/{a}", get(async |Segments(a): Segments<String>| a))
        .route("/two/{a}/to/{b}", get(async |Segments((a, b)): Segments<(String, String)>| format!("{a}|{b}")))
        .route("/token", get(async |token: BearerToken| token.as_str().to_owned()))
        .route(
            "/maybe",
            get(async |token: Option<BearerToken>| token.map_or("none".to_owned(), |t| t.as_str().to_owned())),
        )
        .route("/key", get(async |IdempotencyKey(key): IdempotencyKey| format!("{key:?}")))
        .route("/event", get(async |LastEventId(id): LastEventId| format!("{:?}", id.map(|id| id.len()))))
        .with_state(BodyLimit(64))
}

fn describe(draft: &Draft) -> String {
    format!("{:?} {}", draft.content.as_ref().map(|c| c.get()), draft.count)
}

async fn answer(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

async fn send(path: &str, body: impl Into<RawBody>) -> (u16, String) {
    let request = Request::post(path).body(body.into()).expect("a request");
    answer(app().oneshot(request).await.expect("infallible")).await
}

async fn fetch(path: &str, headers: &[(&str, &[u8])]) -> (u16, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(app().oneshot(request.body(RawBody::empty()).expect("a request")).await.expect("infallible")).await
}

#[tokio::test]
async fn a_body_is_read_as_it_was_sent() {
    assert_eq!(send("/body", r#" {"content": [1, 1.50]} "#).await, (200, r#"Some("[1, 1.50]") 0"#.to_owned()));
    assert_eq!(send("/optional", " \n").await, (200, "None 0".to_owned()));
    assert_eq!(send("/optional", r#"{"count":3}"#).await, (200, "None 3".to_owned()));
}

#[tokio::test]
async fn what_is_no_json_is_400_and_what_does_not_fit_is_422() {
    for body in ["", "{", "{\"content\":}", "nonsense", "[1", "{} {}"] {
        let (status, text) = send("/body", body).await;
        assert_eq!(status, 400, "{body}");
        assert!(text.contains("malformed_json"), "{text}");
    }
    assert_eq!(send("/body", vec![b'{', 0xff]).await.0, 400);
    for body in ["[]", "null", "\"text\"", r#"{"other":1}"#, r#"{"count":"x"}"#, r#"{"count":1,"count":1}"#] {
        let (status, text) = send("/body", body).await;
        assert_eq!(status, 422, "{body}");
        assert!(text.contains(r#""code":"invalid""#), "{text}");
    }
    assert_eq!(send("/optional", "null").await.0, 422);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_413_however_it_comes() {
    let long = format!(r#"{{"content":"{}"}}"#, "x".repeat(60));
    assert_eq!(send("/body", long.clone()).await.0, 413);
    let pieces = stream::iter(
        long.into_bytes().chunks(8).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect::<Vec<_>>(),
    );
    assert_eq!(send("/body", RawBody::from_stream(pieces)).await.0, 413);
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let request = Request::post("/").body(RawBody::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    let refused = read_body(request.expect("a request"), 64, Duration::from_millis(10)).await;
    let problem = refused.expect_err("too slow");
    assert_eq!(problem.into_response().status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn refusals_quote_only_a_little_of_the_input() {
    let long = shorten(&"ü".repeat(500));
    assert_eq!(long.chars().count(), 201);
    let (status, text) = fetch(&format!("/page?{}=1", "x".repeat(5_000)), &[]).await;
    assert!(status == 422 && text.len() < 600, "{text}");
}

#[tokio::test]
async fn a_query_is_read_strictly() {
    let good = fetch("/page?direction=forward&limit=5&cursor=a%20b+c&changes=true", &[]).await;
    assert_eq!(good, (200, r#"Some("forward") Some(5) Some("a b c") Some(true)"#.to_owned()));
    assert_eq!(fetch("/page?", &[]).await, (200, "None None None None".to_owned()));
    let wrong = [
        ("limt=5", "`limt`"),
        ("limit=5&limit=5", "`limit`"),
        ("limit=x", "`limit`"),
        ("limit=70000", "`limit`"),
        ("limit=-1", "`limit`"),
        ("limit=", "`limit`"),
        ("direction=up", "`direction`"),
        ("changes=1", "`changes`"),
        ("cursor=%zz", "percent-encoded"),
        ("cursor=%ff", "percent-encoded"),
        ("cursor=%e", "percent-encoded"),
    ];
    for (query, named) in wrong {
        let (status, text) = fetch(&format!("/page?{query}"), &[]).await;
        assert_eq!(status, 422, "{query}");
        assert!(text.contains(named), "{query}: {text}");
    }
}

#[tokio::test]
async fn segments_are_decoded_once_and_strictly() {
    assert_eq!(fetch("/one/room%3Aa%2Fb%20%C3%BC", &[]).await, (200, "room:a/b ü".to_owned()));
    assert_eq!(fetch("/one/a%2525", &[]).await, (200, "a%25".to_owned()));
    assert_eq!(fetch("/two/dm:~a/to/a+b", &[]).await, (200, "dm:~a|a+b".to_owned()));
    assert_eq!(fetch("/one/%FF", &[]).await.0, 422);
    assert_eq!(fetch("/one/%zz", &[]).await.0, 422);
}

#[tokio::test]
async fn a_token_comes_as_bearer_and_in_no_other_way() {
    assert_eq!(fetch("/token", &[("authorization", b"bEARER  abc.def")]).await, (200, "abc.def".to_owned()));
    assert_eq!(fetch("/maybe", &[]).await, (200, "none".to_owned()));
    assert_eq!(fetch("/token", &[]).await.0, 401);
    for value in ["Basic abc", "Bearer", "Bearer ", "Bearer a b"] {
        assert_eq!(fetch("/token", &[("authorization", value.as_bytes())]).await.0, 401, "{value}");
        assert_eq!(fetch("/maybe", &[("authorization", value.as_bytes())]).await.0, 401, "{value}");
    }
    assert_eq!(fetch("/token", &[("authorization", b"Bearer a"), ("authorization", b"Bearer b")]).await.0, 401);
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii_and_stands_once() {
    assert_eq!(fetch("/key", &[]).await, (200, "None".to_owned()));
    assert_eq!(fetch("/key", &[("idempotency-key", b"k-1")]).await, (200, "Some(\"k-1\")".to_owned()));
    let long = "k".repeat(129);
    for key in [&b""[..], b"a b", "ü".as_bytes(), long.as_bytes()] {
        assert_eq!(fetch("/key", &[("idempotency-key", key)]).await.0, 422);
    }
    assert_eq!(fetch("/key", &[("idempotency-key", b"a"), ("idempotency-key", b"a")]).await.0, 422);
}

#[tokio::test]
async fn an_event_id_that_cannot_be_ours_counts_as_none() {
    assert_eq!(fetch("/event", &[("last-event-id", b"abc")]).await.1, "Some(3)");
    assert_eq!(fetch("/event", &[("last-event-id", &[b'x'; 4096])]).await.1, "Some(4096)");
    assert_eq!(fetch("/event", &[("last-event-id", &[b'x'; 4097])]).await.1, "None");
    assert_eq!(fetch("/event", &[("last-event-id", b"\xff")]).await.1, "None");
    assert_eq!(fetch("/event", &[]).await.1, "None");
}
