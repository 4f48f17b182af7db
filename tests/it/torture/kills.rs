//! The server is killed with SIGKILL, again and again, while one client listens and others write.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{EventStream, Next, Random, ServerProcess, Session, Tally, list, messages_of, number, seqs, text};

const ROOMS: [&str; 3] = ["room:a", "room:b", "room:c"];
const KILLS: u64 = 12;
const DEADLINE: Duration = Duration::from_secs(90);

/// Retries one send, with one idempotency key, until it is acknowledged. The server may be killed meanwhile.
async fn send_surely(writer: &Session, room: &str, content: Value) -> Value {
    let key = uuid::Uuid::now_v7().to_string();
    let body = json!({"content": content});
    let since = Instant::now();
    loop {
        let call = writer.call(Method::POST, &messages_of(room)).header("idempotency-key", &key).json(&body);
        match call.try_send().await {
            Ok(reply) if reply.status == 503 => {}
            Ok(reply) => {
                assert!([200, 201].contains(&reply.status), "{reply:?}");
                return reply.json();
            }
            Err(_) => {}
        }
        assert!(since.elapsed() < DEADLINE, "the server does not come back");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Opens the stream as soon as the server accepts connections.
async fn reopen(reader: &Session, id: &str) -> EventStream {
    let since = Instant::now();
    loop {
        let call = reader.api.get(&reader.events_url).header("last-event-id", id);
        if let Some(stream) = call.header("accept", "text/event-stream").try_open().await {
            return EventStream::of(stream, Some(id));
        }
        assert!(since.elapsed() < DEADLINE, "the stream does not come back");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads up to the last message of every room. Reconnects with the last id whenever the stream has ended.
async fn read_all(reader: &Session, tally: &mut Tally) -> Vec<Value> {
    let mut random = Random::new();
    let (mut seen, mut ended) = (Vec::new(), 0);
    let mut stream = reader.stream().await;
    stream.ready().await;
    let deadline = Instant::now() + 2 * DEADLINE;
    while ended < ROOMS.len() {
        match stream.next_until(deadline).await {
            Next::Event(event) => {
                if tally.take(&event) {
                    ended += usize::from(event.data["content"] == "end");
                    seen.push(event.data);
                }
                if random.once_in(40) {
                    stream = reopen(reader, &stream.cut()).await;
                }
            }
            Next::End | Next::Broken => stream = reopen(reader, &stream.cut()).await,
            Next::Silence => panic!("{ended} rooms ended, {tally:?}"),
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_sigkill_and_arrives_exactly_once() {
    let mut server = ServerProcess::start(&["--stream-replay", "100000"]).await;
    let reader = server.session("reader").await;
    let mut writers = Vec::new();
    let mut tally = Tally::default();
    for room in ROOMS {
        reader.join(room).await;
        tally.starts(room, 0);
        let writer = server.session(&format!("writer of {room}")).await;
        writer.join(room).await;
        writers.push((room, writer));
    }
    let reading = tokio::spawn({
        let reader = reader.clone();
        async move { read_all(&reader, &mut tally).await }
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing: Vec<_> = writers
        .into_iter()
        .map(|(room, writer)| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !*stopped.borrow() {
                    acknowledged.push(send_surely(&writer, room, json!(acknowledged.len())).await);
                }
                acknowledged.push(send_surely(&writer, room, json!("end")).await);
                (room, acknowledged)
            })
        })
        .collect();

    for kill in 1..=KILLS {
        // Killed while it writes: only after some progress since the last kill.
        let target = reader.last_seq(ROOMS[0]).await + 20 + kill;
        let since = Instant::now();
        while reader.last_seq(ROOMS[0]).await < target {
            assert!(since.elapsed() < DEADLINE, "no progress");
            sleep(Duration::from_millis(5)).await;
        }
        server.kill9();
        server.restart().await;
    }
    stop.send(true).unwrap();

    let seen = reading.await.unwrap();
    for writer in writing {
        let (room, acknowledged) = writer.await.unwrap();
        let history = reader.whole_history(room).await;
        assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>(), "{room} is dense");
        for message in &acknowledged {
            let seq = usize::try_from(number(message, "seq")).unwrap();
            assert_eq!(&history[seq - 1], message, "what was acknowledged is what is there");
        }
        assert_eq!(history.len(), acknowledged.len(), "{room}: each send once, however often it was repeated");
        let seen: Vec<&Value> = seen.iter().filter(|message| text(message, "topic") == room).collect();
        assert!(seen.iter().copied().eq(&history), "{room}: the stream has carried the log");
    }
}

/// With delayed durability, SQLite's write-ahead log has every acknowledged change even after SIGKILL.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_does_for_itself_survives_sigkill_as_soon_as_it_is_answered() {
    let mut server = ServerProcess::start(&[]).await;
    for round in 0..4 {
        let session = server.session(&format!("guest {round}")).await;
        let joined = (round > 0).then_some(ROOMS[0]);
        if let Some(room) = joined {
            session.join(room).await;
        }
        let mut id = None;
        if round > 1 {
            let mut stream = session.stream().await;
            stream.ready().await;
            id = Some(stream.cut());
        }
        server.kill9();
        server.restart().await;
        let mut stream = match &id {
            Some(id) => reopen(&session, id).await,
            None => session.stream().await,
        };
        let ready = stream.ready().await;
        let topics: Vec<_> = list(&ready, "topics").iter().map(|topic| text(topic, "topic")).collect();
        assert_eq!(topics, Vec::from_iter(joined), "round {round}");
        if let Some(room) = joined {
            let sent = session.send(room, json!(round)).await;
            assert_eq!(stream.next_of("message").await.data["id"], sent["id"]);
        }
    }
}
