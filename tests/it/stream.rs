//! The stream: its first events, its content, and its bytes on the wire.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use crate::support::{Connection, DEADLINE, EventStream, TestApp, contents, members, seqs, text};

#[tokio::test(flavor = "multi_thread")]
async fn ready_comes_first_and_names_session_user_and_positions() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let mut empty = ana.stream().await;
    let event = empty.next().await;
    assert_eq!(event.event, "ready");
    assert!(event.id.is_some(), "ready has an id");
    assert_eq!(event.data, json!({"session_id": ana.id, "user_id": ana.user_id, "topics": []}));

    ana.join("room:a").await;
    ana.send_numbers("room:a", 1..=2).await;
    ana.join("room:b").await;
    let ready = ana.stream().await.ready().await;
    assert_eq!(members(&ready), ["session_id", "topics", "user_id"]);
    let topics = ready["topics"].as_array().unwrap();
    assert_eq!(topics.len(), 2, "{ready}");
    for topic in ["room:a", "room:b"] {
        assert!(topics.contains(&json!({"topic": topic, "position": 0})), "where it joined: {ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_state_comes_once_per_topic_after_ready_and_before_messages_are_missed() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let rooms = ["room:a", "room:b", "room:c"];
    for room in rooms {
        ana.join(room).await;
        ana.send(room, json!("hi")).await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    let (mut states, mut messages) = (Vec::new(), 0);
    while states.len() < 3 || messages < 3 {
        let event = stream.next().await;
        match event.event.as_str() {
            "presence_state" => {
                assert_eq!(members(&event.data), ["presence_count", "presences", "topic"]);
                assert_eq!(event.data["presence_count"], 1);
                assert_eq!(event.data["presences"][0]["session_id"], *ana.id);
                assert_eq!(event.id, None);
                states.push(event.data["topic"].as_str().unwrap().to_owned());
            }
            "message" => messages += 1,
            other => panic!("{other}"),
        }
    }
    states.sort_unstable();
    assert_eq!(states, rooms);
    stream.expect_silence(Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_passes_every_proxy_unbuffered() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let call = || app.get(&ana.events_url).header("accept-encoding", "gzip, br, zstd");
    let mut stream = EventStream::open(call, None).await;
    assert!(stream.header("content-type").starts_with("text/event-stream"), "{}", stream.header("content-type"));
    let cache_control = stream.header("cache-control").to_owned();
    assert!(cache_control.contains("no-cache") && cache_control.contains("no-transform"), "{cache_control}");
    assert_eq!(stream.header("x-accel-buffering"), "no");
    assert_eq!(stream.header("content-encoding"), "");
    assert!(!stream.header("x-request-id").is_empty());
    stream.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_opens_with_a_jittered_retry() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let mut seen = Vec::new();
    for _ in 0..12 {
        let mut stream = ana.stream().await;
        stream.ready().await;
        assert_eq!(stream.retries().len(), 1, "one retry, before the first event");
        seen.push(stream.retries()[0]);
    }
    assert!(seen.iter().all(|retry| (1..=60_000).contains(retry)), "{seen:?}");
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 1, "twelve streams must not come back at the same moment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_keeps_a_quiet_stream_alive() {
    let app = TestApp::with(&["--stream-keepalive", "1s"]).await;
    let ana = app.session("ana").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let (since, before) = (Instant::now(), stream.comments());
    while stream.comments() < before + 3 {
        assert!(since.elapsed() < DEADLINE, "{} comments in {DEADLINE:?}", stream.comments() - before);
        stream.expect_silence(Duration::from_millis(100)).await;
    }
    assert!(since.elapsed() > Duration::from_millis(1_500), "one a second, not three in {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_topic_come_in_seq_order_each_with_an_id_of_its_own() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    for _ in 0..10 {
        ana.send("room:lobby", json!("mine")).await;
        bea.send("room:lobby", json!("theirs")).await;
    }
    let events = stream.message_events(20).await;
    let data: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    assert_eq!(seqs(&data), (1..=20).collect::<Vec<_>>());
    let mut ids: Vec<String> = events.into_iter().map(|event| event.id.expect("a message has an id")).collect();
    assert!(ids.iter().all(|id| id.len() < 200), "{ids:?}");
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(ids.iter().all(|id| id.bytes().all(base64url)), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20, "each id names a position of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_only_what_its_session_has_joined() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:a").await;
    bea.join("room:a").await;
    bea.join("room:b").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    bea.send("room:b", json!("elsewhere")).await;
    bea.send("room:a", json!("here")).await;
    assert_eq!(contents(&stream.messages(1).await), [json!("here")]);
    stream.expect_none_of("message", Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_joined_while_the_stream_is_open_comes_on_it_from_the_join_on() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    bea.join("room:lobby").await;
    bea.send_numbers("room:lobby", 1..=3).await;
    let mut stream = ana.stream().await;
    stream.ready().await;

    assert_eq!(ana.join("room:lobby").await["position"], 3);
    bea.send_numbers("room:lobby", 4..=5).await;
    let state = stream.next_of("presence_state").await.data;
    assert_eq!((&state["topic"], &state["presence_count"]), (&json!("room:lobby"), &json!(2)));
    let events = stream.message_events(2).await;
    assert_eq!((&events[0].data["seq"], &events[1].data["seq"]), (&json!(4), &json!(5)));

    drop(stream);
    let mut resumed = ana.stream_from(events[0].id.as_ref().unwrap()).await;
    assert_eq!(seqs(&resumed.messages(1).await), [5], "its ids hold the new topic as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ends_a_topic_on_the_stream_with_left() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
        bea.join(room).await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    bea.send("room:a", json!("before")).await;
    assert_eq!(contents(&stream.messages(1).await), [json!("before")]);
    ana.leave("room:a").await;
    let left = stream.next_of("left").await;
    assert_eq!(left.data, json!({"topic": "room:a", "reason": "left"}));
    assert_eq!(left.id, None);
    bea.send("room:a", json!("after")).await;
    bea.send("room:b", json!("on")).await;
    assert_eq!(contents(&stream.messages(1).await), [json!("on")], "the stream goes on with the others");
    let others = stream.expect_none_of("message", Duration::from_millis(300)).await;
    assert!(others.iter().all(|event| event.data["topic"] != "room:a"), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_joined_anew_begins_at_its_new_join() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    bea.send("room:lobby", json!("first join")).await;
    assert_eq!(contents(&stream.messages(1).await), [json!("first join")]);
    ana.leave("room:lobby").await;
    bea.send("room:lobby", json!("away")).await;
    assert_eq!(ana.join("room:lobby").await["position"], 2);
    bea.send("room:lobby", json!("second join")).await;
    // A stream that notices both at once may leave out the end of the old join, but not the new join.
    stream.next_of("presence_state").await;
    assert_eq!(contents(&stream.messages(1).await), [json!("second join")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_a_user_have_a_stream_each() {
    let app = TestApp::start().await;
    let (phone, laptop) = (app.session("ana").await, app.session("ana").await);
    for session in [&phone, &laptop] {
        session.join("room:lobby").await;
    }
    let (mut one, mut two) = (phone.stream().await, laptop.stream().await);
    one.ready().await;
    two.ready().await;
    phone.send("room:lobby", json!("to both")).await;
    assert_eq!(one.messages(1).await, two.messages(1).await);
}

/// Reads until this text has come. Returns all that was read.
async fn read_until(connection: &mut Connection, text: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(text) {
        let count = timeout(DEADLINE, connection.stream.read(&mut buffer)).await.expect("in time").unwrap();
        assert!(count > 0, "the connection ended after {seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_gets_its_stream_as_it_is() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for (version, is_chunked) in [("HTTP/1.0", false), ("HTTP/1.1", true)] {
        let mut connection = Connection::open(&app).await;
        connection.write(format!("GET {} {version}\r\nhost: x\r\n\r\n", ana.events_url).as_bytes()).await;
        let head = read_until(&mut connection, "event: presence_state").await.to_lowercase();
        assert!(head.starts_with(&format!("{} 200", version.to_lowercase())), "{head}");
        assert_eq!(head.contains("transfer-encoding: chunked"), is_chunked, "{head}");
        let sent = ana.send("room:lobby", json!(version)).await;
        read_until(&mut connection, text(&sent, "id")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_writes_on_its_stream_is_ignored_and_too_much_ends_it() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut connection = Connection::open(&app).await;
    connection.write(format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", ana.events_url).as_bytes()).await;
    read_until(&mut connection, "event: presence_state").await;
    connection.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let sent = ana.send("room:lobby", json!("still here")).await;
    let received = read_until(&mut connection, text(&sent, "id")).await;
    assert!(!received.contains("HTTP/1.1"), "{received}");
    connection.write(&vec![b'x'; 200_000]).await;
    let ended = timeout(DEADLINE, async { while connection.stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} });
    ended.await.expect("the connection is closed");
    ana.until_streaming(false).await;
}
