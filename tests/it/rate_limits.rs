//! Rate limits: 429 for a call, and for a stream what an EventSource survives.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{DEADLINE, Reply, TestApp};

/// How long an answer says to wait.
fn retry_after(reply: &Reply) -> Duration {
    Duration::from_secs(reply.header("retry-after").parse().expect("seconds"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_beyond_the_rate_are_429_and_go_through_when_they_wait_as_told() {
    let app = TestApp::alone(&["--rate-sends", "5/s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let since = Instant::now();
    let mut sent = 0;
    let refused = loop {
        let reply = ana.try_send("room:lobby", json!("quick")).await;
        if reply.status != 201 {
            break reply;
        }
        sent += 1;
        assert!(sent < 500, "five a second, not {sent} in {:?}", since.elapsed());
    };
    refused.refused(429);
    assert!(sent >= 5, "five a second, not {sent}");
    bea.send("room:lobby", json!("another session's rate is its own")).await;
    ana.get("/v1/me").await.expect(200);
    sleep(retry_after(&refused)).await;
    ana.send("room:lobby", json!("patient")).await;
    assert_eq!(ana.last_seq("room:lobby").await, sent + 2, "what was refused is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_rate_are_429() {
    let app = TestApp::alone(&["--rate-calls", "5/s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let mut refused = ana.get("/v1/me").await;
    for _ in 0..500 {
        if refused.status != 200 {
            break;
        }
        refused = ana.get("/v1/me").await;
    }
    refused.refused(429);
    bea.get("/v1/me").await.expect(200);
    sleep(retry_after(&refused)).await;
    ana.get("/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_sessions_beyond_the_rate_of_an_address_are_429() {
    let app = TestApp::alone(&["--rate-sessions", "3/s"]).await;
    let open = || app.post("/v1/sessions").json(&json!({"device_id": "0123456789abcdef"})).send();
    let mut refused = open().await;
    for _ in 0..300 {
        if refused.status != 201 {
            break;
        }
        refused = open().await;
    }
    refused.refused(429);
    sleep(retry_after(&refused)).await;
    open().await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beyond_the_rate_answers_200_with_a_retry_and_ends() {
    let app = TestApp::alone(&["--rate-calls", "2/s"]).await;
    let ana = app.session("ana").await;
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < DEADLINE, "streams are calls as well");
        // Calls in one burst use up what the session may do.
        futures_util::future::join_all((0..10).map(|_| ana.get("/v1/me"))).await;
        let response = app.get(&ana.events_url).header("accept", "text/event-stream").open().await;
        assert_eq!(response.status(), 200, "an EventSource gives up for good on any other status");
        assert_eq!(response.headers()["content-type"].to_str().unwrap().split(';').next(), Some("text/event-stream"));
        // A stream that was let in does not end by itself.
        let Ok(body) = tokio::time::timeout(Duration::from_millis(500), response.text()).await else {
            continue;
        };
        let body = body.unwrap();
        let retry = body.lines().find_map(|line| line.strip_prefix("retry:")).expect("a retry");
        assert!(retry.trim().parse::<u64>().unwrap() > 0, "{body}");
        assert!(!body.contains("data:"), "no event: {body}");
        return;
    }
}

/// Opens sessions, each as if forwarded for another address, until one is refused; says how many were not.
async fn open_forwarded(app: &TestApp) -> usize {
    for number in 0..100 {
        let call = app.post("/v1/sessions").header("x-forwarded-for", &format!("192.0.2.{number}"));
        let reply = call.json(&json!({"device_id": "0123456789abcdef"})).send().await;
        if reply.status != 201 {
            reply.refused(429);
            return number;
        }
    }
    100
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_proxy_names_counts_only_where_the_proxy_is_trusted() {
    let app = TestApp::alone(&["--rate-sessions", "3/s"]).await;
    let opened = open_forwarded(&app).await;
    assert!(opened < 100, "anybody can write a header");
    let trusting = TestApp::alone(&["--rate-sessions", "3/s", "--trusted-proxies", "127.0.0.0/8"]).await;
    assert_eq!(open_forwarded(&trusting).await, 100, "a hundred addresses");
}
