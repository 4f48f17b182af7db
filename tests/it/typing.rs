//! Typing: sent to those who listen at that moment, never stored, at most once in two seconds for each session.

use std::time::Duration;

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{DEADLINE, Event, EventStream, Next, Reply, Session, TestApp, encode, list, text};

const ROOM: &str = "room:lobby";

async fn try_type(session: &Session, topic: &str) -> Reply {
    session.call(Method::POST, &format!("/v1/topics/{}/typing", encode(topic))).send().await
}

async fn type_in(session: &Session, topic: &str) {
    try_type(session, topic).await.expect(204);
}

fn typing(session: &Session, topic: &str) -> Value {
    json!({"topic": topic, "user_id": session.user_id, "username": session.username})
}

/// Opens a stream and reads it up to its first `presence_state`.
async fn listening(session: &Session) -> EventStream {
    let mut stream = session.stream().await;
    stream.ready().await;
    stream.next_of("presence_state").await;
    stream
}

/// Returns the events of a stream before the message with this content, without presence.
async fn before(stream: &mut EventStream, content: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = stream.next().await;
        match event.event.as_str() {
            "message" if event.data["content"] == content => return events,
            "presence" => {}
            _ => events.push(event),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_who_listens_gets_it_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    cleo.join("room:other").await;
    ana.send(ROOM, json!("before")).await;
    let (mut own, mut other, mut elsewhere) =
        (ana.stream_with("from=now").await, bea.stream_with("from=now").await, cleo.stream().await);
    for stream in [&mut own, &mut other, &mut elsewhere] {
        stream.next_of("presence_state").await;
    }
    let last_id = other.last_id();
    type_in(&ana, ROOM).await;
    for stream in [&mut own, &mut other] {
        let told = stream.next_of("typing").await;
        assert_eq!(told.data, typing(&ana, ROOM));
        assert_eq!(told.id, None, "nothing to come back to");
    }
    assert_eq!(other.last_id(), last_id);
    assert_eq!(ana.last_seq(ROOM).await, 1);
    assert_eq!(ana.whole_history(ROOM).await.len(), 1);
    assert_eq!(ana.send(ROOM, json!("next")).await["seq"], 2);
    assert!(before(&mut other, "next").await.is_empty());
    elsewhere.expect_none_of("typing", Duration::from_millis(200)).await;
    let later = app.session("later").await;
    later.join(ROOM).await;
    listening(&later).await.expect_none_of("typing", Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_sends_it_once_in_two_seconds_and_more_is_dropped() {
    let app = TestApp::alone(&[]).await;
    let (phone, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&phone, &bea] {
        session.join(ROOM).await;
    }
    let mut stream = listening(&bea).await;
    let mut attempts = 0;
    let (ana, since, told) = loop {
        let ana = app.session("ana").await;
        ana.join(ROOM).await;
        ana.join("room:other").await;
        let since = Instant::now();
        for _ in 0..3 {
            type_in(&ana, ROOM).await;
        }
        type_in(&ana, "room:other").await;
        ana.send(ROOM, json!("first")).await;
        let told = before(&mut stream, "first").await;
        // If the machine needed the two seconds for this, the attempt shows nothing: another session tries again.
        if since.elapsed() < Duration::from_millis(1_900) {
            break (ana, since, told);
        }
        attempts += 1;
        assert!(attempts < 20, "typing takes {:?}", since.elapsed());
    };
    assert_eq!(told.iter().map(|event| &event.data).collect::<Vec<_>>(), [&typing(&ana, ROOM)], "{told:?}");

    type_in(&phone, ROOM).await;
    type_in(&bea, ROOM).await;
    bea.send(ROOM, json!("second")).await;
    let told = before(&mut stream, "second").await;
    let told: Vec<_> = told.into_iter().map(|event| event.data).collect();
    assert_eq!(told, [typing(&ana, ROOM), typing(&bea, ROOM)], "another session has an allowance of its own");

    // A session that keeps typing is shown again, two seconds after the first time and not before.
    let deadline = Instant::now() + DEADLINE;
    loop {
        type_in(&ana, ROOM).await;
        match stream.next_until(Instant::now() + Duration::from_millis(50)).await {
            Next::Event(event) if event.event == "typing" => break,
            Next::Event(_) | Next::Silence => assert!(Instant::now() < deadline, "never again"),
            Next::End | Next::Broken => panic!("the stream ended"),
        }
    }
    assert!(since.elapsed() >= Duration::from_millis(1_950), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_needs_a_join_and_a_topic_that_the_caller_may_see() {
    let app = TestApp::start().await;
    let (ana, phone, bea, cleo) =
        (app.session("ana").await, app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    phone.join(ROOM).await;
    let mut stream = listening(&phone).await;
    for _ in 0..3 {
        assert_eq!(try_type(&ana, ROOM).await.refused(409), "not_joined", "another session's join does not count");
    }
    assert_eq!(try_type(&ana, &ana.dm(&bea)).await.refused(409), "not_joined");
    let joined = ana.join(&ana.dm(&bea)).await;
    let dm = text(&joined["topic"], "id");
    for unseen in [dm, "dm:nobody", "group:0190a5b0-7c00-7000-8000-000000000000"] {
        assert_eq!(try_type(&cleo, unseen).await.refused(404), "not_found", "{unseen}");
    }
    assert_eq!(try_type(&ana, "lobby").await.refused(422), "invalid");
    // Refused calls do not count against the limit.
    ana.join(ROOM).await;
    type_in(&ana, ROOM).await;
    assert_eq!(stream.next_of("typing").await.data, typing(&ana, ROOM));
    phone.leave(ROOM).await;
    assert_eq!(try_type(&phone, ROOM).await.refused(409), "not_joined");
    bea.sign_out().await;
    try_type(&bea, ROOM).await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_dm_the_other_side_gets_it_under_the_one_id() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(&ana.dm(&bea)).await;
    let joined = bea.join(&bea.dm(&ana)).await;
    let mut stream = listening(&bea).await;
    type_in(&ana, &ana.dm(&bea)).await;
    assert_eq!(stream.next_of("typing").await.data, typing(&ana, text(&joined["topic"], "id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_session_shows_itself_by_typing() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join_hidden(ROOM).await;
    bea.join(ROOM).await;
    let mut stream = listening(&bea).await;
    type_in(&ana, ROOM).await;
    assert_eq!(stream.next_of("typing").await.data, typing(&ana, ROOM));
    assert_eq!(bea.present(ROOM).await, [bea.id.clone()], "but not as present");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_gets_it_as_well() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    let mut id = text(&bea.poll("wait=0").await.expect(200), "last_event_id").to_owned();
    // The service closes an earlier poll a little after its response: it must not be mistaken for the waiting one.
    let told = loop {
        bea.until_streaming(false).await;
        let query = format!("wait=10&last_event_id={id}");
        let typing = async {
            bea.until_streaming(true).await;
            type_in(&ana, ROOM).await;
        };
        let (answer, ()) = join(bea.poll(&query), typing).await;
        let answer = answer.expect(200);
        text(&answer, "last_event_id").clone_into(&mut id);
        if let Some(told) = list(&answer, "events").iter().find(|event| event["event"] == "typing") {
            break told.clone();
        }
    };
    assert_eq!(told, json!({"event": "typing", "data": typing(&ana, ROOM)}));
}
