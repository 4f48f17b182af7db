//! Gaps: a client that missed more than a stream replays receives a `gap` and reads the rest as history.

use std::time::Duration;

use serde_json::json;

use crate::support::{EventStream, Session, TestApp, members, number, seqs};

const ROOM: &str = "room:lobby";

/// Reads up to the message `last` and returns the gaps' ranges and the messages' numbers, in the order of the stream.
async fn read_to(stream: &mut EventStream, last: u64) -> (Vec<(u64, u64)>, Vec<u64>) {
    let (mut gaps, mut messages) = (Vec::new(), Vec::new());
    while messages.last() != Some(&last) {
        let event = stream.next().await;
        match event.event.as_str() {
            "gap" => {
                assert_eq!(members(&event.data), ["from_seq", "to_seq", "topic"]);
                assert_eq!(event.data["topic"], ROOM);
                assert!(event.id.is_some(), "the stream goes on after it");
                assert!(messages.is_empty(), "what is oldest is what is missed");
                gaps.push((number(&event.data, "from_seq"), number(&event.data, "to_seq")));
            }
            "message" => messages.push(number(&event.data, "seq")),
            _ => {}
        }
    }
    (gaps, messages)
}

async fn app_with_replay(replay: &str) -> (TestApp, Session) {
    let app = TestApp::with(&["--stream-replay", replay]).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    (app, ana)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_stream_replays_is_a_gap_and_the_stream_goes_on_after_it() {
    let (_app, ana) = app_with_replay("10").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.send(ROOM, json!("seen")).await;
    stream.messages(1).await;
    let id = stream.cut();
    ana.send_numbers(ROOM, 2..=26).await;

    let mut stream = ana.stream_from(&id).await;
    stream.ready().await;
    ana.send(ROOM, json!("live")).await;
    let (gaps, messages) = read_to(&mut stream, 27).await;
    let &[(from, to)] = gaps.as_slice() else { panic!("one gap: {gaps:?}") };
    assert_eq!(from, 2, "after what was seen");
    assert_eq!(messages, (to + 1..=27).collect::<Vec<_>>(), "nothing between gap and messages");
    assert!(messages.len() <= 12, "what a stream replays, and what came live: {messages:?}");

    let page = ana.history(ROOM, &format!("direction=forward&at_seq={from}&limit={}", to - from + 1)).await;
    assert_eq!(seqs(&page.messages), (from..=to).collect::<Vec<_>>(), "the gap is readable as history");

    let id = stream.cut();
    ana.send(ROOM, json!("on")).await;
    let (gaps, messages) = read_to(&mut ana.stream_from(&id).await, 28).await;
    assert_eq!((gaps, messages), (vec![], vec![28]), "a gap is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_gap_continues_after_it() {
    let (_app, ana) = app_with_replay("5").await;
    ana.send_numbers(ROOM, 1..=20).await;
    let mut stream = ana.stream().await;
    let gap = stream.next_of("gap").await;
    let to = number(&gap.data, "to_seq");
    drop(stream);
    let mut stream = ana.stream_from(&gap.id.unwrap()).await;
    ana.send(ROOM, json!("on")).await;
    let (gaps, messages) = read_to(&mut stream, 21).await;
    assert_eq!(gaps, [], "what was told is not told again");
    assert_eq!(messages, (to + 1..=21).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_replays_is_no_gap() {
    let (_app, ana) = app_with_replay("10").await;
    ana.send_numbers(ROOM, 1..=10).await;
    let (gaps, messages) = read_to(&mut ana.stream().await, 10).await;
    assert_eq!((gaps, messages), (vec![], (1..=10).collect()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_topic_has_a_replay_of_its_own() {
    let (_app, ana) = app_with_replay("10").await;
    ana.join("room:other").await;
    ana.send_numbers(ROOM, 1..=10).await;
    ana.send_numbers("room:other", 1..=10).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    assert_eq!(stream.messages(20).await.len(), 20);
    let others = stream.expect_none_of("gap", Duration::from_millis(200)).await;
    assert!(others.iter().all(|event| event.event != "message"), "{others:?}");
}
