//! Rate limits: 429 for a call; for a stream 200, a `retry:` and the end, so that an EventSource tries again.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{DEADLINE, Reply, TestApp};

/// Returns the time of the reply's `Retry-After`.
fn retry_after(reply: &Reply) -> Duration {
    Duration::from_secs(reply.header("retry-after").parse().expect("seconds"))
}

/// Makes calls, ten at once so that a slow machine exceeds the rate as well, until some are refused with 429. Returns
/// how many of all succeeded with this status, and a refusal.
async fn until_refused(succeeds: u16, call: impl AsyncFn() -> Reply) -> (u64, Reply) {
    let mut succeeded = 0;
    for _ in 0..50 {
        let replies = join_all((0..10).map(|_| call())).await;
        let (good, mut refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == succeeds);
        succeeded += u64::try_from(good.len()).unwrap();
        if let Some(refusal) = refused.pop() {
            for reply in refused.iter().chain([&refusal]) {
                reply.refused(429);
            }
            return (succeeded, refusal);
        }
    }
    panic!("no limit: {succeeded} calls succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_beyond_the_rate_are_429_and_succeed_after_retry_after() {
    let app = TestApp::alone(&["--rate-sends", "5/s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let (sent, refused) = until_refused(201, async || ana.try_send("room:lobby", json!("quick")).await).await;
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
    let (_, refused) = until_refused(200, async || ana.get("/v1/me").await).await;
    bea.get("/v1/me").await.expect(200);
    sleep(retry_after(&refused)).await;
    ana.get("/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_sessions_beyond_the_rate_of_an_address_are_429() {
    let app = TestApp::alone(&["--rate-sessions", "3/s"]).await;
    let open = || app.post("/v1/sessions").json(&json!({"device_id": "0123456789abcdef"})).send();
    let (_, refused) = until_refused(201, open).await;
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
        // Calls in one burst reach the session's limit.
        join_all((0..10).map(|_| ana.get("/v1/me"))).await;
        let response = app.get(&ana.events_url).header("accept", "text/event-stream").open().await;
        assert_eq!(response.status(), 200, "an EventSource gives up for good on any other status");
        assert_eq!(response.headers()["content-type"].to_str().unwrap().split(';').next(), Some("text/event-stream"));
        // A stream that has been opened does not end.
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

/// Opens a hundred sessions, ten at once, each as if forwarded for another address. Returns how many were opened; the
/// others were refused with 429.
async fn open_forwarded(app: &TestApp) -> usize {
    let mut opened = 0;
    for tens in 0..10 {
        let calls = (0..10).map(|ones| {
            let call = app.post("/v1/sessions").header("x-forwarded-for", &format!("192.0.2.{}", 10 * tens + ones));
            call.json(&json!({"device_id": "0123456789abcdef"})).send()
        });
        for reply in join_all(calls).await {
            if reply.status == 201 {
                opened += 1;
            } else {
                reply.refused(429);
            }
        }
    }
    opened
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_proxy_names_counts_only_where_the_proxy_is_trusted() {
    let app = TestApp::alone(&["--rate-sessions", "3/s"]).await;
    let opened = open_forwarded(&app).await;
    assert!(opened < 100, "anybody can write a header");
    let trusting = TestApp::alone(&["--rate-sessions", "3/s", "--trusted-proxies", "127.0.0.0/8"]).await;
    assert_eq!(open_forwarded(&trusting).await, 100, "a hundred addresses");
}
