//! Messages: how they are sent, stored, read one by one, and delivered without being stored.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{DEADLINE, TestApp, members, messages_of, number, seqs, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_acknowledgement_is_the_stored_message() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let reply = ana.try_send("room:lobby", json!({"text": "hi", "tags": [1, null]})).await;
    let message = reply.expect(201);
    assert_eq!(members(&message), ["code", "content", "created_at", "id", "sender", "seq", "topic"]);
    assert_eq!(message["topic"], "room:lobby");
    assert_eq!(message["seq"], 1);
    assert_eq!(message["code"], 0);
    assert_eq!(message["sender"], ana.user());
    assert_eq!(message["content"], json!({"text": "hi", "tags": [1, null]}));
    let id: uuid::Uuid = text(&message, "id").parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let created_at = text(&message, "created_at");
    assert_eq!(created_at.len(), "2026-01-02T03:04:05.678Z".len(), "{created_at}");
    created_at.parse::<jiff::Timestamp>().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_the_same_object_wherever_it_is_shown() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let (mut own, mut other) = (ana.stream().await, bea.stream().await);
    let sent = ana.send("room:lobby", json!({"text": "hi"})).await;
    let one = format!("{}/{}", messages_of("room:lobby"), text(&sent, "id"));
    assert_eq!(bea.get(&one).await.expect(200), sent);
    assert_eq!(bea.whole_history("room:lobby").await, [sent.clone()]);
    assert_eq!(own.messages(1).await, [sent.clone()], "the sender's stream carries it as well");
    assert_eq!(other.messages(1).await, [sent.clone()]);
    assert_eq!(bea.stream().await.messages(1).await, [sent], "from the log as from the hub");
}

#[tokio::test(flavor = "multi_thread")]
async fn seq_is_dense_from_1_and_a_failed_send_burns_no_number() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    ana.join("room:other").await;
    for expected in 1..=5 {
        assert_eq!(ana.send("room:lobby", json!(expected)).await["seq"], expected);
        bea.try_send("room:lobby", json!("not joined")).await.refused(409);
        ana.post(&messages_of("room:lobby"), &json!({"content": 1, "extra": 1})).await.refused(422);
        ana.try_send("room:lobby", json!("x".repeat(20_000))).await.refused(413);
    }
    assert_eq!(ana.send("room:other", json!(1)).await["seq"], 1, "each topic counts for itself");
    assert_eq!(seqs(&ana.whole_history("room:lobby").await), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn created_at_never_runs_backwards_within_a_topic() {
    let app = TestApp::start().await;
    let sessions = app.sessions("ana", 4).await;
    for session in &sessions {
        session.join("room:lobby").await;
    }
    let sends = (0..100).map(|at| sessions[at % 4].send("room:lobby", json!(at)));
    futures_util::future::join_all(sends).await;
    let history = sessions[0].whole_history("room:lobby").await;
    let times: Vec<&str> = history.iter().map(|message| text(message, "created_at")).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(seqs(&history), (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_needs_a_join() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    bea.join("room:lobby").await;
    assert_eq!(ana.try_send("room:lobby", json!(1)).await.refused(409), "not_joined");
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!(1)).await;
    ana.leave("room:lobby").await;
    assert_eq!(ana.try_send("room:lobby", json!(2)).await.refused(409), "not_joined");
    let ephemeral = json!({"content": 2, "ephemeral": true});
    assert_eq!(ana.post(&messages_of("room:lobby"), &ephemeral).await.refused(409), "not_joined");
    assert_eq!(bea.last_seq("room:lobby").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_content_can_be_set_by_a_client() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let members = ["id", "topic", "seq", "code", "sender", "created_at", "edited_at", "removed_at", "as", "x"];
    for member in members {
        let body = json!({"content": "hi", member: 1});
        assert_eq!(ana.post(&messages_of("room:lobby"), &body).await.status, 422, "{member}");
    }
    for body in [json!({}), json!({"ephemeral": false}), json!({"content": 1, "ephemeral": "no"}), json!([1]), json!(1)]
    {
        assert_eq!(ana.post(&messages_of("room:lobby"), &body).await.status, 422, "{body}");
    }
    assert!(ana.whole_history("room:lobby").await.is_empty());
    let null = ana.post(&messages_of("room:lobby"), &json!({"content": null, "ephemeral": false})).await;
    assert_eq!(null.expect(201)["content"], Value::Null, "null is a value as any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_read_by_its_id_in_its_own_topic() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:a").await;
    ana.join("room:b").await;
    let sent = ana.send("room:a", json!("hi")).await;
    let read = async |topic: &str, id: &str| bea.get(&format!("{}/{id}", messages_of(topic))).await;
    assert_eq!(read("room:a", text(&sent, "id")).await.expect(200), sent, "without a join");
    read("room:b", text(&sent, "id")).await.refused(404);
    read("room:nowhere", text(&sent, "id")).await.refused(404);
    read("room:a", &uuid::Uuid::now_v7().to_string()).await.refused(404);
    read("room:a", "garbage").await.refused_as(&[404, 422]);
    read("room:a", "1").await.refused_as(&[404, 422]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_message_is_delivered_and_never_stored() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let (mut own, mut other) = (ana.stream().await, bea.stream().await);
    own.ready().await;
    other.ready().await;
    ana.send("room:lobby", json!("stored")).await;
    other.messages(1).await;
    own.messages(1).await;
    let before = other.last_id();

    let accepted = ana.send_ephemeral("room:lobby", "passing").await;
    for member in ["id", "seq"] {
        assert!(accepted.get(member).is_none(), "an ephemeral message has no {member}: {accepted}");
    }
    assert_eq!(accepted["content"], "passing");
    assert_eq!(accepted["sender"], ana.user());
    for stream in [&mut own, &mut other] {
        let event = stream.next_of("message").await;
        assert_eq!(event.data, accepted);
        assert_eq!(event.id, None, "nothing to come back to");
    }
    assert_eq!(other.last_id(), before);
    assert_eq!(ana.last_seq("room:lobby").await, 1);
    assert_eq!(ana.whole_history("room:lobby").await.len(), 1);
    assert_eq!(ana.send("room:lobby", json!("next")).await["seq"], 2);
    assert_eq!(other.messages(1).await[0]["content"], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_message_reaches_only_who_listens_at_that_moment() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    ana.send_ephemeral("room:lobby", "nobody listens").await;
    let mut stream = bea.stream().await;
    stream.ready().await;
    stream.expect_none_of("message", Duration::from_millis(300)).await;
    ana.send_ephemeral("room:lobby", "bea listens").await;
    assert_eq!(stream.messages(1).await[0]["content"], "bea listens");
    let id = stream.cut();
    ana.send_ephemeral("room:lobby", "nobody listens any more").await;
    bea.stream_from(&id).await.expect_none_of("message", Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_and_ephemeral_messages_come_in_the_order_they_were_sent_in() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    // The order of ephemeral and stored messages holds only for those that one instance has handled.
    let ana = ana.over_one_connection();
    for round in 0..20 {
        ana.send("room:lobby", json!(format!("stored {round}"))).await;
        ana.send_ephemeral("room:lobby", &format!("passing {round}")).await;
    }
    for round in 0..20 {
        let pair = stream.messages(2).await;
        assert_eq!(pair[0]["content"], format!("stored {round}"));
        assert_eq!(pair[1]["content"], format!("passing {round}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hangs_up_changes_nothing_about_what_was_committed() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    for round in 0..50_u64 {
        let send = ana.call(Method::POST, &messages_of("room:lobby")).json(&json!({"content": round})).try_send();
        // The service runs a write that has started to its end.
        let _ = tokio::time::timeout(Duration::from_micros(round * 100), send).await;
    }
    let last = ana.send("room:lobby", json!("end")).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        seen.extend(tokio::time::timeout(DEADLINE, stream.messages(1)).await.unwrap());
    }
    let count = number(&last, "seq");
    assert_eq!(seqs(&seen), (1..=count).collect::<Vec<_>>());
    // A send whose caller hung up may commit after a later send: the log and the stream still have one order.
    let history = ana.whole_history("room:lobby").await;
    assert_eq!(seqs(&history), (1..=u64::try_from(history.len()).unwrap()).collect::<Vec<_>>());
    assert!(history.starts_with(&seen), "one order for all");
}
