//! More topics on one stream than an id names: ids stay short, and each of them is exact.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{EventStream, Random, Session, Tally, TestApp};

const TOPICS: usize = 40;

fn rooms() -> Vec<String> {
    // Long names: an id that held them would be too long.
    (0..TOPICS).map(|number| format!("room:a topic with a rather long name, number {number}")).collect()
}

async fn join_rooms(session: &Session, rooms: &[String]) -> Tally {
    let mut tally = Tally::default();
    for room in rooms {
        let joined = session.join(room).await;
        tally.starts(room, joined["position"].as_u64().unwrap());
    }
    tally
}

/// Sends `rounds` messages into each room, in random order, several at a time.
async fn burst(session: &Session, rooms: &[String], rounds: usize, random: &mut Random) {
    let mut order: Vec<&String> = (0..rounds).flat_map(|_| rooms).collect();
    random.shuffle(&mut order);
    for some in order.chunks(8) {
        join_all(some.iter().map(|room| session.send(room, json!("burst")))).await;
    }
}

/// Reads up to this total, and keeps each id with the tally of that moment.
async fn read_to(stream: &mut EventStream, tally: &mut Tally, total: u64) -> Vec<(String, Tally)> {
    let mut moments = Vec::new();
    while tally.total() < total {
        let event = stream.next().await;
        if tally.take(&event) {
            let id = event.id.expect("a message has an id");
            assert!(id.len() <= 2_000, "an id of {} characters", id.len());
            moments.push((id, tally.clone()));
        }
    }
    moments
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_exactly_at_every_point_of_a_burst_over_40_topics() {
    let app = TestApp::start().await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    let (rooms, mut random) = (rooms(), Random::new());
    let mut tally = join_rooms(&reader, &rooms).await;
    join_rooms(&writer, &rooms).await;
    let mut stream = reader.stream().await;
    stream.ready().await;
    let total = 3 * TOPICS as u64;
    burst(&writer, &rooms, 2, &mut random).await;
    let mut moments = read_to(&mut stream, &mut tally, 2 * TOPICS as u64).await;
    // Long enough for a checkpoint to be stored and named in the middle of it.
    stream.expect_none_of("message", Duration::from_millis(1_200)).await;
    burst(&writer, &rooms, 1, &mut random).await;
    moments.append(&mut read_to(&mut stream, &mut tally, total).await);
    drop(stream);
    // In the order of their making: ids older than one that was brought back may be gone.
    for (id, mut at) in moments {
        let mut stream = reader.stream_from(&id).await;
        let before = at.total();
        let read = read_to(&mut stream, &mut at, total).await;
        assert_eq!(read.len() as u64, total - before);
        assert_eq!(at, tally);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_resumes_within_a_burst_over_40_topics_are_exact() {
    let app = TestApp::start().await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    let (rooms, mut random) = (rooms(), Random::new());
    let mut tally = join_rooms(&reader, &rooms).await;
    join_rooms(&writer, &rooms).await;
    let total = 12 * TOPICS as u64;
    let writing = tokio::spawn({
        let (rooms, mut random) = (rooms.clone(), Random::new());
        async move { burst(&writer, &rooms, 12, &mut random).await }
    });
    let mut stream = reader.stream().await;
    stream.ready().await;
    let mut cuts = 0;
    while tally.total() < total {
        let next = (tally.total() + 1 + random.below(20) as u64).min(total);
        read_to(&mut stream, &mut tally, next).await;
        stream = reader.stream_from(&stream.last_id()).await;
        cuts += 1;
    }
    writing.await.unwrap();
    assert!(cuts > 20, "{cuts} cuts");
    stream.expect_none_of("message", Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_short_again_within_two_seconds_of_quiet() {
    let app = TestApp::start().await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    let (rooms, mut random) = (rooms(), Random::new());
    let mut tally = join_rooms(&reader, &rooms).await;
    join_rooms(&writer, &rooms).await;
    let mut stream = reader.stream().await;
    stream.ready().await;
    let mut total = 0;
    for _ in 0..3 {
        burst(&writer, &rooms, 4, &mut random).await;
        total += 4 * TOPICS as u64;
        let moments = read_to(&mut stream, &mut tally, total).await;
        let longest = moments.iter().map(|(id, _)| id.len()).max().unwrap();
        let read = Instant::now();
        stream.expect_none_of("message", Duration::from_secs(2)).await;
        writer.send(&rooms[0], json!("after the quiet")).await;
        total += 1;
        let (id, _) = read_to(&mut stream, &mut tally, total).await.pop().unwrap();
        let (length, quiet) = (id.len(), read.elapsed());
        assert!(length < 200, "{length} characters after {quiet:?} of quiet, at most {longest} in the burst");
        stream = reader.stream_from(&id).await;
        stream.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_below_2000_characters_with_as_many_topics_as_a_session_joins() {
    let app = TestApp::start().await;
    let (reader, writer) = (app.session("reader").await, app.session("writer").await);
    let rooms: Vec<String> = (0..200).map(|number| format!("room:{number}")).collect();
    let mut tally = join_rooms(&reader, &rooms).await;
    join_rooms(&writer, &rooms).await;
    let mut stream = reader.stream().await;
    stream.ready().await;
    let mut random = Random::new();
    burst(&writer, &rooms, 2, &mut random).await;
    let moments = read_to(&mut stream, &mut tally, 400).await;
    drop(stream);
    for at in [0, 15, 16, 17, 100, 199, 200, 399] {
        let (id, mut tally) = moments[at].clone();
        read_to(&mut reader.stream_from(&id).await, &mut tally, 400).await;
    }
}
