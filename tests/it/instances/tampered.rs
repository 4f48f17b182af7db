//! A bus that loses half of all hints, and doubles and reorders the rest, while every instance sees it as healthy. No
//! message is lost or doubled, and nobody sees what they may not; all of it may come later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::bus_away::everything_comes;
use super::*;
use crate::support::{Group, PresenceView, Random, Tally, announced, entry};

const ROOMS: [&str; 3] = ["room:a", "room:b", "room:c"];

async fn on_both_tampered(test: impl AsyncFn(&Cluster)) {
    for route in [Route::Postgres, Route::Nats] {
        let flags = ["--presence-grace", "1s", "--stream-replay", "100000"];
        let Some(cluster) = Cluster::tampered(route, &flags).await else { return };
        test(&cluster).await;
        let faults = &cluster.proxy.as_ref().unwrap().faults;
        for (what, count) in [("lost", &faults.lost), ("doubled", &faults.doubled), ("reordered", &faults.reordered)] {
            assert!(count.load(Ordering::Relaxed) > 0, "{route:?}: no hint was {what}: {faults:?}");
        }
    }
}

/// Opens sessions at each instance in turn; all join all rooms.
async fn spread(cluster: &Cluster, name: &str, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for number in 0..count {
        let home = if number % 2 == 0 { &cluster.one } else { &cluster.two };
        let session = home.session(&format!("{name}{number}")).await;
        for room in ROOMS {
            session.join(room).await;
        }
        sessions.push(session);
    }
    sessions
}

/// Reads everything up to the last message of each room, now at one instance, now at the other.
async fn read_all(cluster: &Cluster, reader: &Session) -> Tally {
    let (mut tally, mut random, mut ended) = (Tally::default(), Random::new(), 0);
    ROOMS.iter().for_each(|room| tally.starts(room, 0));
    let mut stream = reader.stream().await;
    let deadline = Instant::now() + 2 * LATER;
    while ended < ROOMS.len() {
        match stream.next_until(deadline).await {
            Next::Event(event) => ended += usize::from(tally.take(&event) && event.data["content"] == "end"),
            _ => panic!("{tally:?}"),
        }
        if random.once_in(25) {
            let home = if random.once_in(2) { &cluster.one } else { &cluster.two };
            stream = reader.at(home).stream_from(&stream.last_id()).await;
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_comes_once_and_in_order() {
    on_both_tampered(async |cluster| {
        let readers = spread(cluster, "reader", 4).await;
        let writers = spread(cluster, "writer", 4).await;
        let writing = async {
            join_all(writers.iter().map(async |writer| {
                for number in 0..50 {
                    writer.send(ROOMS[number % ROOMS.len()], json!(number)).await;
                    sleep(Duration::from_millis(5)).await;
                }
            }))
            .await;
            for room in ROOMS {
                writers[0].send(room, json!("end")).await;
            }
        };
        let reading = join_all(readers.iter().map(|reader| read_all(cluster, reader)));
        let (read, ()) = tokio::join!(reading, writing);
        for room in ROOMS {
            let last = writers[0].last_seq(room).await;
            assert!(read.iter().all(|tally| tally.position(room) == last), "{room} to its end, {last}: {read:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_agrees_in_the_end_on_who_is_present() {
    on_both_tampered(async |cluster| {
        let watchers = [cluster.one.session("Ana").await, cluster.two.session("Bob").await];
        let mut streams = Vec::new();
        for watcher in &watchers {
            watcher.join(ROOM).await;
            streams.push(watcher.stream().await);
        }
        let mut random = Random::new();
        let others = spread(cluster, "other", 6).await;
        let mut kept = Vec::new();
        for _ in 0..60 {
            let other = &others[random.below(others.len())];
            let other = other.at(if random.once_in(2) { &cluster.one } else { &cluster.two });
            match random.below(4) {
                0 => other.leave(ROOM).await,
                1 => kept.push(other.stream().await),
                _ => drop(other.join(ROOM).await),
            }
        }
        kept.clear();
        // Two of them stay, with a stream that stays open.
        for other in &others[..2] {
            other.join(ROOM).await;
            kept.push(other.stream().await);
        }
        let mut views = [PresenceView::default(), PresenceView::default()];
        let staying: Vec<&str> = watchers.iter().chain(&others[..2]).map(|session| session.id.as_str()).collect();
        let since = Instant::now();
        for (stream, view) in streams.iter_mut().zip(&mut views) {
            while view.present.len() != 4 || !staying.iter().all(|id| view.present.contains(*id)) {
                match stream.next_until(since + 2 * LATER).await {
                    Next::Event(event) => drop(view.take(&event)),
                    _ => panic!("{view:?} instead of {staying:?}"),
                }
            }
        }
    })
    .await;
}

/// Sends stored and ephemeral messages into a group until the flag is set.
fn keep_talking(session: &Session, topic: &str, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (session, topic, stop) = (session.clone(), topic.to_owned(), stop.clone());
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            session.send(&topic, json!("on and on")).await;
            session.send_ephemeral(&topic, "in passing").await;
            sleep(Duration::from_millis(20)).await;
        }
    })
}

/// Returns all events of a group's topic up to `left` and for 200 ms after it.
async fn until_gone(stream: &mut EventStream, topic: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut deadline = Instant::now() + LATER;
    loop {
        match stream.next_until(deadline).await {
            Next::Event(event) if event.data["topic"] != topic => {}
            Next::Event(event) => {
                if event.event == "left" {
                    deadline = Instant::now() + Duration::from_millis(200);
                }
                events.push(event);
            }
            Next::Silence if events.iter().any(|event| event.event == "left") => return events,
            _ => panic!("no left, only {events:#?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_kicked_sees_nothing_of_what_follows() {
    on_both_tampered(async |cluster| {
        let (ana, bob, cleo) =
            (cluster.one.session("Ana").await, cluster.two.session("Bob").await, cluster.two.session("Cleo").await);
        let mut stream = bob.stream().await;
        for round in 0..6 {
            let group = Group::of(&ana, &[&bob, &cleo]).await;
            for session in [&ana, &bob, &cleo] {
                session.join(&group.topic).await;
            }
            let of_group = |data: &Value| data["topic"] == *group.topic;
            within(&mut stream, LATER, "presence_state", of_group).await;
            let stop = Arc::new(AtomicBool::new(false));
            let talking = [keep_talking(&ana, &group.topic, &stop), keep_talking(&cleo, &group.topic, &stop)];
            sleep(Duration::from_millis(100)).await;
            group.kick(&ana, &bob).await.expect(204);
            // Only members may see that Dora joins, and Bob is no member any more.
            let dora = cluster.one.session(&format!("Dora{round}")).await;
            group.join(&dora).await.expect(200);
            dora.join(&group.topic).await;
            let shown = until_gone(&mut stream, &group.topic).await;
            stop.store(true, Ordering::Relaxed);
            for task in talking {
                task.await.unwrap();
            }
            let messages: Vec<_> = shown.iter().filter(|event| event.id.is_some()).collect();
            let last = &messages.last().expect("messages").data;
            assert_eq!(announced(last), entry(4, &bob, &ana), "the kick is the last: {shown:#?}");
            let at = |event: &Event| shown.iter().position(|other| other.text == event.text);
            let after = &shown[at(messages[messages.len() - 1]).unwrap() + 1..];
            assert!(after.iter().all(|event| event.event == "left"), "{after:#?}");
            assert!(!shown.iter().any(|event| event.text.contains(&dora.id)), "{shown:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_ends_and_what_begins_begins() {
    on_both_tampered(async |cluster| everything_comes(cluster).await).await;
}
