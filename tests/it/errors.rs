//! Bad input: each gets the documented refusal as a problem (which [`crate::support::Reply`] checks in full), nothing
//! is stored, and the next request works.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{Connection, Session, TestApp, messages_of, number, seqs};

const MESSAGES: &str = "/v1/topics/room:lobby/messages";
const JOIN: &str = "/v1/session/topics/room:lobby";

/// Each call with its status: 400 for a body that is no JSON, 422 for a wrong value, 404 for a missing resource, 405
/// for a wrong method, 409 for a conflict with the present state, 413 for a body that is too large.
const BAD_CALLS: &[(&str, &str, &str, u16)] = &[
    ("POST", MESSAGES, "", 400),
    ("POST", MESSAGES, "{", 400),
    ("POST", MESSAGES, "nonsense", 400),
    ("POST", MESSAGES, "{\"content\": 1,}", 400),
    ("POST", MESSAGES, "{'content': 1}", 400),
    ("POST", MESSAGES, "{}", 422),
    ("POST", MESSAGES, "[]", 422),
    ("POST", MESSAGES, "null", 422),
    ("POST", MESSAGES, "\"content\"", 422),
    ("POST", MESSAGES, "{\"content\": 1, \"colour\": 2}", 422),
    ("POST", MESSAGES, "{\"content\": 1, \"ephemeral\": 1}", 422),
    ("POST", MESSAGES, "{\"content\": 1, \"ephemeral\": null, \"x\": 0}", 422),
    ("PUT", JOIN, "{\"hidden\": 1}", 422),
    ("PUT", JOIN, "{\"visible\": true}", 422),
    ("PUT", JOIN, "{\"hidden\": tru", 400),
    ("POST", "/v1/sessions", "{\"device_id\"", 400),
    ("POST", "/v1/sessions", "{\"device_id\": 1}", 422),
    ("POST", "/v1/sessions", "{\"device_id\": \"short\"}", 422),
    ("POST", "/v1/sessions", "{\"device_id\": \"0123456789abcdef\", \"admin\": true}", 422),
    ("PATCH", "/v1/me", "{\"username\": \"\"}", 422),
    ("PATCH", "/v1/me", "{\"username\": \"a\\u0007b\"}", 422),
    ("PATCH", "/v1/me", "{\"user_id\": \"root\"}", 422),
    ("PATCH", "/v1/me", "nonsense", 400),
    ("GET", "/v1/topics/room:nowhere", "", 404),
    ("GET", "/v1/topics/room:nowhere/messages", "", 404),
    ("GET", "/v1/users/nobody", "", 404),
    ("GET", "/v1/nothing", "", 404),
    ("GET", "/v2/session", "", 404),
    ("GET", "/v1/session/topics/room:lobby/more", "", 404),
    ("PUT", MESSAGES, "{}", 405),
    ("POST", "/v1/session", "{}", 405),
    ("GET", "/v1/sessions", "", 405),
    ("GET", JOIN, "", 405),
    ("POST", "/v1/session/events", "", 405),
    ("DELETE", "/healthz", "", 405),
    ("GET", "/v1/topics/room:lobby/messages?limit=0", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?limit=101", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?limit=ten", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?direction=up", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?at_seq=first", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?at_time=noon", "", 422),
    ("GET", "/v1/topics/room:lobby/messages?cursor=garbage", "", 400),
];

async fn call(session: &Session, bad: &(&str, &str, &'static str, u16)) {
    let &(method, path, body, status) = bad;
    let method: Method = method.parse().unwrap();
    // The calls that need no session are made without a token.
    let call = if path == "/v1/sessions" { session.api.call(method, path) } else { session.call(method, path) };
    let call = if body.is_empty() { call } else { call.body(body) };
    let reply = call.send().await;
    assert_eq!(reply.status, status, "{bad:?}: {reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_as_documented_stores_nothing_and_the_next_request_works() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for (sent, bad) in (1..).zip(BAD_CALLS) {
        call(&ana, bad).await;
        assert_eq!(number(&ana.send("room:lobby", json!(sent)).await, "seq"), sent, "after {bad:?}");
    }
    let history = ana.whole_history("room:lobby").await;
    assert_eq!(seqs(&history), (1..=BAD_CALLS.len() as u64).collect::<Vec<_>>());
    assert_eq!(ana.get("/v1/me").await.expect(200), ana.user());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_the_same_slug_every_time_and_different_ones_for_different_causes() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let unknown = ana.get("/v1/topics/room:nowhere").await.refused(404);
    assert_eq!(ana.get("/v1/topics/room:elsewhere").await.refused(404), unknown);
    ana.leave("room:lobby").await;
    let not_joined = ana.try_send("room:lobby", json!(1)).await.refused(409);
    assert_eq!(not_joined, "not_joined");
    let bad_cursor = ana.get(&format!("{MESSAGES}?cursor=x")).await.refused(400);
    assert_eq!(bad_cursor, "bad_cursor");
    let malformed = ana.call(Method::POST, MESSAGES).body("{").send().await.refused(400);
    assert_ne!(malformed, bad_cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_method_names_the_ones_that_are_allowed() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for (method, path, allowed) in [
        (Method::PUT, MESSAGES, &["GET", "POST"][..]),
        (Method::POST, "/v1/session", &["GET", "DELETE"]),
        (Method::PATCH, JOIN, &["PUT", "DELETE"]),
        (Method::DELETE, "/v1/me", &["GET", "PATCH"]),
        (Method::PUT, "/v1/groups", &["GET", "POST"]),
        (Method::POST, "/v1/groups/0190a5b0-7c00-7000-8000-000000000000", &["GET", "PATCH", "DELETE"]),
        (Method::GET, "/v1/groups/0190a5b0-7c00-7000-8000-000000000000/members/bea", &["PUT", "DELETE"]),
        (Method::GET, "/v1/groups/0190a5b0-7c00-7000-8000-000000000000/bans/bea", &["DELETE"]),
        (Method::POST, "/v1/me/blocks/bea", &["PUT", "DELETE"]),
        (Method::GET, "/v1/topics/room:lobby/read", &["PUT"]),
        (Method::GET, "/v1/topics/room:lobby/typing", &["POST"]),
    ] {
        let reply = ana.call(method, path).send().await;
        reply.refused(405);
        for method in allowed {
            assert!(reply.header("allow").contains(method), "{method}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_every_limit_is_413_and_the_connection_survives_or_closes_cleanly() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for (path, bytes) in [(MESSAGES, 200_000), (MESSAGES, 5_000_000), ("/v1/session/refresh", 5_000_000)] {
        let body = format!("{{\"content\":\"{}\"}}", "x".repeat(bytes));
        // A server may close the connection of a client that goes on sending a refused body.
        if let Ok(reply) = ana.call(Method::POST, path).body(body).try_send().await {
            reply.refused(413);
        }
    }
    ana.send("room:lobby", json!("still here")).await;
    assert_eq!(ana.last_seq("room:lobby").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_hardly_paths_are_4xx() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let long = format!("/v1/topics/room:{}", "x".repeat(10_000));
    for path in ["/v1/topics/%", "/v1/topics/%zz/messages", "/v1/topics//messages", "/v1//session", &long, "/%00"] {
        let reply = ana.get(path).await;
        assert!((400..500).contains(&reply.status), "{path:.100}: {reply:?}");
    }
    ana.get("/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_hurts_nobody() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for garbage in [
        &b"garbage\r\n\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ] {
        let mut connection = Connection::open(&app).await;
        connection.write(garbage).await;
        let answer = connection.read_to_end(Duration::from_secs(60)).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
            "{answer}"
        );
    }
    ana.get("/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_read_is_refused() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for query in ["limit=1&limit=2", "direction=%FF", "cursor=%FF"] {
        ana.get(&format!("{}?{query}", messages_of("room:lobby"))).await.refused_as(&[400, 422]);
    }
    ana.history("room:lobby", "limit=1").await;
}
