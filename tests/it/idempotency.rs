//! Idempotency keys: a repeated send is the send that was made first.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestApp, messages_of, text};

fn body(content: &str) -> Value {
    json!({"content": content})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_answers_200_with_the_first_message() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let first = ana.send_with("room:lobby", &body("once"), "key").await.expect(201);
    for _ in 0..3 {
        assert_eq!(ana.send_with("room:lobby", &body("once"), "key").await.expect(200), first);
    }
    ana.send("room:lobby", json!("end")).await;
    let seen = stream.messages(2).await;
    assert_eq!(seen[0], first);
    assert_eq!(seen[1]["content"], "end", "a repeat is delivered no second time");
    assert_eq!(ana.last_seq("room:lobby").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_body_is_422() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let first = ana.send_with("room:lobby", &body("one"), "key").await.expect(201);
    ana.send_with("room:lobby", &body("two"), "key").await.refused(422);
    assert_eq!(ana.send_with("room:lobby", &body("one"), "key").await.expect(200), first);
    assert_eq!(ana.last_seq("room:lobby").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_of_1_to_128_visible_ascii_characters() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let send = |key: &[u8]| {
        ana.call(Method::POST, &messages_of("room:lobby")).header_bytes("idempotency-key", key).json(&body("hi")).send()
    };
    for key in ["k".repeat(128), "!".to_owned(), "~\"#{}|".to_owned(), uuid::Uuid::now_v7().to_string()] {
        send(key.as_bytes()).await.expect(201);
    }
    for key in [&b""[..], b"a b", b"a\tb", "schlüssel".as_bytes(), &[b'k'; 129], &[0xff]] {
        let reply = send(key).await;
        assert_eq!(reply.status, 422, "{key:?}: {reply:?}");
    }
    assert_eq!(ana.last_seq("room:lobby").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_scope_is_one_user_and_one_topic() {
    let app = TestApp::start().await;
    let (ana, phone, bea) = (app.session("ana").await, app.session("ana").await, app.session("bea").await);
    for session in [&ana, &phone, &bea] {
        session.join("room:a").await;
        session.join("room:b").await;
    }
    let first = ana.send_with("room:a", &body("hi"), "key").await.expect(201);
    assert_ne!(ana.send_with("room:b", &body("hi"), "key").await.expect(201)["id"], first["id"], "another topic");
    assert_ne!(bea.send_with("room:a", &body("hi"), "key").await.expect(201)["id"], first["id"], "another user");
    assert_eq!(
        phone.send_with("room:a", &body("hi"), "key").await.expect(200),
        first,
        "another session, the same user"
    );
    bea.send_with("room:b", &body("other"), "key").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_is_one_scope_under_either_id() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let short = format!("dm:{}", bea.user_id);
    let joined = ana.join(&short).await;
    let first = ana.send_with(&short, &body("hi"), "key").await.expect(201);
    let full = text(&joined["topic"], "id");
    assert_eq!(ana.send_with(full, &body("hi"), "key").await.expect(200), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_repeats_at_once_store_one_message() {
    let app = TestApp::start().await;
    let sessions = app.sessions("same", 1).await;
    let (ana, phone) = (&sessions[0], app.session("same0").await);
    for session in [ana, &phone] {
        session.join("room:lobby").await;
    }
    let sends = (0..50).map(|at| {
        let session = if at % 2 == 0 { ana } else { &phone };
        async move { session.send_with("room:lobby", &body("once"), "key").await }
    });
    let replies = join_all(sends).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 49);
    let first = replies[0].json();
    for reply in &replies {
        assert_eq!(reply.json(), first);
    }
    assert_eq!(ana.last_seq("room:lobby").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_bodies_under_one_key_at_once_one_wins() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let sends = (0..20).map(|at| {
        let (ana, content) = (&ana, format!("body {at}"));
        async move { ana.send_with("room:lobby", &body(&content), "key").await.status }
    });
    let statuses = join_all(sends).await;
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 422).count(), 19, "{statuses:?}");
    assert_eq!(ana.last_seq("room:lobby").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_send_leaves_its_key_free() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    bea.join("room:lobby").await;
    ana.send_with("room:lobby", &body("hi"), "key").await.refused(409);
    ana.join("room:lobby").await;
    ana.send_with("room:lobby", &json!({"content": "hi", "x": 1}), "key").await.refused(422);
    ana.send_with("room:lobby", &body(&"x".repeat(20_000)), "key").await.refused(413);
    ana.send_with("room:lobby", &body("hi"), "key").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_after_a_restart() {
    let mut app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let first = ana.send_with("room:lobby", &body("hi"), "key").await.expect(201);
    app.restart().await;
    assert_eq!(ana.send_with("room:lobby", &body("hi"), "key").await.expect(200), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_message_takes_no_key() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.send_with("room:lobby", &json!({"content": "hi", "ephemeral": true}), "key").await.refused(422);
    stream.expect_none_of("message", Duration::from_millis(200)).await;
}
