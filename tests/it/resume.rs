//! The start of a stream: at its id, at the last id that was brought back, at the join, or at the end.

use std::time::Duration;

use serde_json::json;

use crate::support::{Session, TestApp, contents, seqs};

const ROOM: &str = "room:lobby";

/// A session that has joined a room, in which `messages` were sent while it had no stream.
async fn away(messages: u64) -> (TestApp, Session) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    ana.send_numbers(ROOM, 1..=messages).await;
    (app, ana)
}

/// Returns the event ids of the first `count` messages of a stream without an id.
async fn ids(session: &Session, count: usize) -> Vec<String> {
    let events = session.stream().await.message_events(count).await;
    events.into_iter().map(|event| event.id.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_exactly_after_the_id_that_is_brought_back() {
    let (_app, ana) = away(5).await;
    let ids = ids(&ana, 5).await;
    for (at, id) in ids.iter().enumerate() {
        ana.send(ROOM, json!("more")).await;
        let mut stream = ana.stream_from(id).await;
        let ready = stream.ready().await;
        assert_eq!(ready["topics"], json!([{"topic": ROOM, "position": at + 1}]));
        let expected: Vec<u64> = (at as u64 + 2..=at as u64 + 6).collect();
        assert_eq!(seqs(&stream.messages(5).await), expected);
        stream.expect_none_of("message", Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_ready_is_as_good_as_that_of_a_message() {
    let (_app, ana) = away(3).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let id = stream.cut();
    assert_eq!(seqs(&ana.stream_from(&id).await.messages(3).await), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_comes_back_in_the_header_or_in_the_query_and_the_header_wins() {
    let (app, ana) = away(5).await;
    let ids = ids(&ana, 5).await;
    let mut by_query = ana.stream_with(&format!("last_event_id={}", ids[2])).await;
    assert_eq!(seqs(&by_query.messages(2).await), [4, 5]);
    let both = || app.get(&format!("{}&last_event_id={}", ana.events_url, ids[1]));
    let mut both = crate::support::EventStream::open(both, Some(&ids[3])).await;
    assert_eq!(seqs(&both.messages(1).await), [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_a_stream_starts_where_the_session_joined() {
    let (_app, ana) = away(3).await;
    for _ in 0..3 {
        let mut stream = ana.stream().await;
        assert_eq!(seqs(&stream.messages(3).await), [1, 2, 3], "that ids were given out moves nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_a_stream_starts_where_the_last_id_that_came_back_says() {
    let (_app, ana) = away(5).await;
    let ids = ids(&ana, 5).await;
    for at in [1, 3, 0, 2] {
        let expected: Vec<u64> = (at as u64 + 2..=5).collect();
        assert_eq!(seqs(&ana.stream_from(&ids[at]).await.messages(4 - at).await), expected);
        assert_eq!(seqs(&ana.stream().await.messages(4 - at).await), expected, "and so does the next without one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_now_starts_at_the_end_where_no_id_comes_back() {
    let (_app, ana) = away(5).await;
    let ids = ids(&ana, 5).await;
    let mut now = ana.stream_with("from=now").await;
    assert_eq!(now.ready().await["topics"], json!([{"topic": ROOM, "position": 5}]));
    ana.send(ROOM, json!("now")).await;
    assert_eq!(seqs(&now.messages(1).await), [6]);
    let mut with_id = ana.stream_with(&format!("from=now&last_event_id={}", ids[3])).await;
    assert_eq!(seqs(&with_id.messages(2).await), [5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_cannot_be_read_counts_as_none() {
    let (app, ana) = away(3).await;
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    let foreign = ids(&ana, 3).await.pop().unwrap();
    let mut cut_off = foreign.clone();
    cut_off.truncate(foreign.len() / 2);
    let long = "A".repeat(5_000);
    for id in ["garbage", "0", "-", "AAAA", "=====", "a b", "%00", "null", &long, &cut_off] {
        let mut stream = ana.stream_from(id).await;
        assert_eq!(seqs(&stream.messages(3).await), [1, 2, 3], "{id:?}");
    }
    for query in ["last_event_id=", "last_event_id=%F0%9F%92%A9", "last_event_id=%00%0A"] {
        assert_eq!(seqs(&ana.stream_with(query).await.messages(3).await), [1, 2, 3], "{query}");
    }
    // Bytes that are not UTF-8.
    let call = || app.get(&ana.events_url).header_bytes("last-event-id", b"\xff\xfe");
    let mut stream = crate::support::EventStream::open(call, None).await;
    assert_eq!(seqs(&stream.messages(3).await), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_moves_only_the_stream_of_its_own_session() {
    let app = TestApp::start().await;
    let (ana, phone, bea) = (app.session("ana").await, app.session("ana").await, app.session("bea").await);
    for session in [&ana, &phone, &bea] {
        session.join(ROOM).await;
    }
    ana.send_numbers(ROOM, 1..=4).await;
    let foreign = ids(&ana, 4).await.pop().unwrap();
    for session in [&phone, &bea] {
        let mut stream = session.stream_from(&foreign).await;
        assert_eq!(seqs(&stream.messages(4).await), [1, 2, 3, 4], "another session's id counts as none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_id_is_as_good_as_the_last_one() {
    let (_app, ana) = away(4).await;
    let ids = ids(&ana, 4).await;
    for at in [3, 1, 2, 0, 3, 0] {
        let mut stream = ana.stream_from(&ids[at]).await;
        ana.send(ROOM, json!("on")).await;
        let first = stream.messages(1).await;
        assert_eq!(seqs(&first), [at as u64 + 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_joined_after_an_id_starts_at_its_join() {
    let (app, ana) = away(2).await;
    let id = ids(&ana, 2).await.pop().unwrap();
    let bea = app.session("bea").await;
    bea.join("room:new").await;
    bea.send("room:new", json!("before the join")).await;
    ana.join("room:new").await;
    bea.send("room:new", json!("after the join")).await;
    let mut stream = ana.stream_from(&id).await;
    assert_eq!(contents(&stream.messages(1).await), [json!("after the join")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_while_the_stream_was_away_is_sent_after_ready() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.send("room:a", json!("seen")).await;
    stream.messages(1).await;
    let id = stream.cut();
    ana.leave("room:a").await;
    let mut stream = ana.stream_from(&id).await;
    assert_eq!(stream.ready().await["topics"], json!([{"topic": "room:b", "position": 0}]));
    assert_eq!(stream.next_of("left").await.data, json!({"topic": "room:a", "reason": "left"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_and_joined_anew_is_not_sent_as_left() {
    let (app, ana) = away(2).await;
    let id = ids(&ana, 2).await.pop().unwrap();
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    ana.leave(ROOM).await;
    bea.send(ROOM, json!("between")).await;
    assert_eq!(ana.join(ROOM).await["position"], 3);
    bea.send(ROOM, json!("after")).await;
    let mut stream = ana.stream_from(&id).await;
    assert_eq!(stream.ready().await["topics"], json!([{"topic": ROOM, "position": 3}]));
    assert_eq!(contents(&stream.messages(1).await), [json!("after")], "the old join's place is not the new one's");
    let others = stream.expect_none_of("left", Duration::from_millis(200)).await;
    assert!(others.iter().all(|event| event.event != "message"), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_good_after_a_restart() {
    let (mut app, ana) = away(4).await;
    let ids = ids(&ana, 4).await;
    app.restart().await;
    assert_eq!(seqs(&ana.stream_from(&ids[1]).await.messages(2).await), [3, 4]);
    app.restart().await;
    ana.send(ROOM, json!("after")).await;
    assert_eq!(seqs(&ana.stream_from(&ids[3]).await.messages(1).await), [5]);
    assert_eq!(seqs(&ana.stream().await.messages(1).await), [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_from_a_database_that_is_gone_counts_as_none() {
    let (_app, ana) = away(3).await;
    let foreign = ids(&ana, 3).await.pop().unwrap();
    let (_other_app, other) = away(3).await;
    assert_eq!(seqs(&other.stream_from(&foreign).await.messages(3).await), [1, 2, 3]);
}
