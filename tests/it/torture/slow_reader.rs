//! A reader that stops reading costs the server little memory, and loses nothing.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{DEADLINE, EventStream, RawStream, ServerProcess, Session, Tally, number, text};

const ROOM: &str = "room:lobby";
const SENDERS: u64 = 8;
const WARM_UP: u64 = 4_000;
const MESSAGES: u64 = 5_000;
const STALLED: usize = 5;

/// Every sender sends its share of messages of 4 KiB.
async fn send_all(senders: &[Session], messages: u64) {
    let text = "x".repeat(4 * 1024);
    join_all(senders.iter().map(|sender| {
        let (sender, text) = (sender.clone(), text.clone());
        tokio::spawn(async move {
            for _ in 0..messages / SENDERS {
                sender.send(ROOM, json!(text)).await;
            }
        })
    }))
    .await
    .into_iter()
    .for_each(Result::unwrap);
}

/// Reads a stream, which was not read so far, up to the last message. If the server has ended it, it is resumed.
async fn read_on(session: &Session, mut stream: RawStream, last: u64) {
    let mut tally = Tally::default();
    tally.starts(ROOM, 0);
    let mut id = None;
    while tally.position(ROOM) < last {
        let Some(frame) = stream.next(DEADLINE).await else {
            break;
        };
        id = frame.id.or(id);
        if frame.event == "message" {
            let data: Value = serde_json::from_str(&frame.data).unwrap();
            tally.message(text(&data, "topic"), number(&data, "seq"));
        }
    }
    let mut resumed: Option<EventStream> = None;
    while tally.position(ROOM) < last {
        if resumed.is_none() {
            resumed = Some(session.stream_from(id.as_deref().expect("an id before the end")).await);
        }
        tally.take(&resumed.as_mut().unwrap().next().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_costs_bounded_memory_and_loses_nothing() {
    let server = ServerProcess::start(&["--stream-replay", "100000", "--stream-max-age", "1h"]).await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(server.session(&format!("sender {number}")).await);
    }
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        stalled.push(server.session(&format!("stalled {number}")).await);
    }
    let reader = server.session("reader").await;
    for session in senders.iter().chain(&stalled).chain([&reader]) {
        session.join(ROOM).await;
    }
    let mut stream = reader.stream().await;
    stream.ready().await;
    let mut tally = Tally::default();
    tally.starts(ROOM, 0);

    // A first part of the messages fills the buffers and caches that the server may have.
    let mut streams = Vec::new();
    for session in &stalled {
        streams.push(RawStream::open(session, Some(16 * 1024), None).await);
    }
    let reading = async {
        while tally.position(ROOM) < WARM_UP {
            tally.take(&stream.next().await);
        }
    };
    // A reader that reads nothing for 30 s would be cut, and on a busy machine the messages may take longer.
    join(send_all(&senders, WARM_UP), reading).await;
    let before = server.memory();

    let reading = async {
        while tally.position(ROOM) < WARM_UP + MESSAGES {
            tally.take(&stream.next().await);
        }
    };
    join(send_all(&senders, MESSAGES), reading).await;
    let grown = server.memory().saturating_sub(before);
    // A queue for each stalled reader would hold 100 MiB here, one queue for all of them 20 MiB.
    assert!(grown < 8 * 1024, "{grown} KiB more than the {before} KiB before, with {STALLED} stalled readers");

    let last = WARM_UP + MESSAGES;
    join_all(stalled.iter().zip(streams).map(|(session, stream)| read_on(session, stream, last))).await;
}
