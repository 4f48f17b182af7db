//! A client whose stream is cut again and again while others write. It keeps its last id only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{EventStream, Next, Random, Session, Tally, TestApp};

const CUTS: usize = 250;
const ROOMS: [&str; 4] = ["room:a", "room:b", "room:c", "room:d"];

/// Writes into the rooms in turn until the flag is set, then a last message into each.
async fn write_until(writer: &Session, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        writer.send(ROOMS[number % ROOMS.len()], json!(number)).await;
        number += 1;
        // A pause between the bursts: otherwise the client would only read what it has missed.
        if number % 16 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    for room in ROOMS {
        writer.send(room, json!("end")).await;
    }
}

/// Reads the next event into the tally. Returns true if it was the last message of a room.
async fn read_one(stream: &mut EventStream, tally: &mut Tally) -> bool {
    let event = stream.next().await;
    tally.take(&event) && event.data["content"] == "end"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cut_off_at_random_250_times_gets_every_message_exactly_once() {
    let app = TestApp::with(&["--stream-replay", "100000"]).await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    let mut tally = Tally::default();
    for room in ROOMS {
        reader.join(room).await;
        writer.join(room).await;
        tally.starts(room, 0);
    }
    let mut random = Random::new();
    let stop = AtomicBool::new(false);
    let reading = async {
        let mut ended = 0;
        let mut stream = reader.stream().await;
        stream.ready().await;
        for cut in 0..CUTS {
            for _ in 0..random.below(25) {
                ended += usize::from(read_one(&mut stream, &mut tally).await);
            }
            let id = stream.last_id();
            if random.once_in(4) {
                // The server has not noticed the end of the old connection: the new stream replaces it.
                let _abandoned = std::mem::replace(&mut stream, reader.stream_from(&id).await);
            } else {
                drop(stream);
                stream = reader.stream_from(&id).await;
            }
            assert_eq!(ended, 0, "the writers go on until cut {CUTS}, not {cut}");
        }
        stop.store(true, Ordering::Relaxed);
        while ended < ROOMS.len() {
            ended += usize::from(read_one(&mut stream, &mut tally).await);
        }
    };
    join(reading, write_until(&writer, &stop)).await;
    for room in ROOMS {
        assert_eq!(reader.last_seq(room).await, tally.position(room), "{room} to its end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_past_the_first_events_gets_on_all_the_same() {
    let app = TestApp::start().await;
    let reader = app.session("reader").await;
    let mut tally = Tally::default();
    for room in ROOMS {
        reader.join(room).await;
        reader.send_numbers(room, 1..=25).await;
        tally.starts(room, 0);
    }
    let mut stream = reader.stream().await;
    let mut opened = 1;
    while tally.total() < 100 {
        let mut read = 0;
        while read < 1 + opened % 3 && tally.total() < 100 {
            read += usize::from(tally.take(&stream.next().await));
        }
        stream = reader.stream_from(&stream.last_id()).await;
        opened += 1;
    }
    let others = stream.expect_none_of("message", Duration::from_millis(200)).await;
    assert!(others.iter().all(|event| event.event != "gap"), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_while_joining_and_leaving_keep_each_joins_own_range() {
    let app = TestApp::start().await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    for room in ROOMS {
        writer.join(room).await;
    }
    let mut random = Random::new();
    let stop = AtomicBool::new(false);
    let reading = async {
        let mut tally = Tally::default();
        let mut stream = reader.stream().await;
        stream.ready().await;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let room = ROOMS[random.below(ROOMS.len())];
            let joined = reader.join(room).await;
            tally.starts(room, joined["position"].as_u64().unwrap());
            // Until the stream has shown the join: it need not show a join that ends before.
            loop {
                let event = stream.next().await;
                if event.event == "presence_state" && event.data["topic"] == room {
                    break;
                }
                if event.event != "left" {
                    tally.take(&event);
                }
            }
            for _ in 0..random.below(10) {
                stream = read_some(&reader, stream, &mut tally, room, &mut random).await;
            }
            reader.leave(room).await;
            // Messages that come before `left` still count.
            loop {
                let event = stream.next().await;
                if event.event != "left" {
                    tally.take(&event);
                } else if event.data["topic"] == room {
                    break;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    join(reading, write_until(&writer, &stop)).await;
}

/// Reads one event if it comes within 100 ms, and cuts and resumes the stream once in three times.
async fn read_some(
    reader: &Session,
    mut stream: EventStream,
    tally: &mut Tally,
    room: &str,
    random: &mut Random,
) -> EventStream {
    match stream.next_until(Instant::now() + Duration::from_millis(100)).await {
        // `left` has no id: a client that resumes from an older id gets it again.
        Next::Event(event) if event.event == "left" => assert_ne!(event.data["topic"], room, "joined anew"),
        Next::Event(event) => {
            if tally.take(&event) {
                assert_eq!(event.data["topic"], room, "nothing of what is not joined");
            }
        }
        Next::Silence => {}
        Next::End | Next::Broken => panic!("the stream ended"),
    }
    if random.once_in(3) { reader.stream_from(&stream.cut()).await } else { stream }
}
