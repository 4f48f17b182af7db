//! Two instances on one PostgreSQL are one service, whichever of them a client calls. On SQLite there is one instance
//! only, and these tests do nothing.
//!
//! The wait for what a hint must bring is shorter than the comparison with the database would need to find it.

mod bus_away;
mod database_away;
mod frozen;
mod latency;
mod tampered;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, Event, EventStream, Next, Route, Session, contents, number, seqs, text};

/// The longest wait for what a hint brings. Without hints an instance compares itself with the database every five
/// seconds, and acts on a difference from the second comparison on.
const SOON: Duration = Duration::from_millis(4_500);
/// The longest wait for what comes without a hint.
const LATER: Duration = Duration::from_secs(40);
const ROOM: &str = "room:across";

/// Runs on both buses.
async fn on_both(test: impl AsyncFn(Cluster)) {
    for route in [Route::Postgres, Route::Nats] {
        let Some(cluster) = Cluster::start(route, &["--presence-grace", "1s"]).await else { return };
        test(cluster).await;
    }
}

/// The next event of this kind, within this time.
async fn within(stream: &mut EventStream, time: Duration, kind: &str, fits: impl Fn(&Value) -> bool) -> Event {
    let deadline = Instant::now() + time;
    let mut others = Vec::new();
    loop {
        match stream.next_until(deadline).await {
            Next::Event(event) if event.event == kind && fits(&event.data) => return event,
            Next::Event(event) => others.push(event),
            _ => panic!("no such {kind} within {time:?}, only {others:#?}"),
        }
    }
}

async fn soon(stream: &mut EventStream, kind: &str) -> Event {
    within(stream, SOON, kind, |_| true).await
}

/// A session of each instance, both in the room.
async fn ana_and_bob(cluster: &Cluster) -> (Session, Session) {
    let (ana, bob) = (cluster.one.session("Ana").await, cluster.two.session("Bob").await);
    ana.join(ROOM).await;
    bob.join(ROOM).await;
    (ana, bob)
}

fn joins(data: &Value, session: &Session) -> bool {
    data["joins"].as_array().is_some_and(|joins| joins.iter().any(|join| text(join, "session_id") == session.id))
}

fn leaves(data: &Value, session: &Session) -> bool {
    data["leaves"].as_array().is_some_and(|gone| gone.iter().any(|one| text(one, "session_id") == session.id))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_other_instance_at_once() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut stream = bob.stream().await;
        stream.ready().await;
        for n in 0..20 {
            let sent = ana.send(ROOM, json!({"n": n, "raw": "é \u{1F600} \" \\"})).await;
            assert_eq!(soon(&mut stream, "message").await.data, sent);
        }
        // Longer than PostgreSQL's notifications may be.
        let sent = ana.send(ROOM, json!("x".repeat(12_000))).await;
        assert_eq!(soon(&mut stream, "message").await.data, sent);
        // A message through his own instance comes after it.
        let own = bob.send(ROOM, json!("own")).await;
        assert_eq!(soon(&mut stream, "message").await.data, own);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_message_reaches_the_other_instance_after_what_was_sent_before() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut stream = bob.stream().await;
        soon(&mut stream, "presence_state").await;
        for n in 0..10 {
            ana.send(ROOM, json!(n)).await;
            ana.send_ephemeral(ROOM, &format!("after {n}")).await;
            assert_eq!(soon(&mut stream, "message").await.data["content"], json!(n));
            let ephemeral = soon(&mut stream, "message").await;
            assert_eq!((ephemeral.data["content"].clone(), ephemeral.id), (json!(format!("after {n}")), None));
        }
        let long = "w".repeat(15_000);
        ana.send_ephemeral(ROOM, &long).await;
        assert_eq!(soon(&mut stream, "message").await.data["content"], json!(long));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_comes_and_goes_across_instances() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut stream = bob.stream().await;
        soon(&mut stream, "presence_state").await;
        let cleo = cluster.one.session("Cleo").await;
        let _cleos = cleo.stream().await;
        cleo.join(ROOM).await;
        within(&mut stream, SOON, "presence", |data| joins(data, &cleo)).await;
        cleo.leave(ROOM).await;
        within(&mut stream, SOON, "presence", |data| leaves(data, &cleo)).await;
        // A stream that ends, and then the grace period.
        let listening = ana.stream().await;
        sleep(Duration::from_millis(1_500)).await;
        assert!(bob.present(ROOM).await.contains(&ana.id));
        drop(listening);
        within(&mut stream, SOON, "presence", |data| leaves(data, &ana)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_leaves_by_the_other_instance_reach_the_stream() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut stream = bob.stream().await;
        soon(&mut stream, "presence_state").await;
        let elsewhere = bob.at(&cluster.one);
        elsewhere.join("room:second").await;
        within(&mut stream, SOON, "presence_state", |data| data["topic"] == "room:second").await;
        ana.join("room:second").await;
        ana.send("room:second", json!("there")).await;
        assert_eq!(soon(&mut stream, "message").await.data["topic"], "room:second");
        elsewhere.leave("room:second").await;
        let left = soon(&mut stream, "left").await.data;
        assert_eq!(left, json!({"topic": "room:second", "reason": "left"}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_on_one_instance_ends_the_stream_on_the_other() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let (mut anas, mut bobs) = (ana.stream().await, bob.stream().await);
        soon(&mut anas, "presence_state").await;
        soon(&mut bobs, "presence_state").await;
        ana.at(&cluster.two).delete("/v1/session").await.expect(204);
        assert_eq!(soon(&mut anas, "bye").await.data["reason"], "signed_out");
        anas.end().await;
        within(&mut bobs, SOON, "presence", |data| leaves(data, &ana)).await;
        assert_eq!(ana.get("/v1/session").await.status, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_on_one_instance_is_the_last_that_the_other_shows() {
    on_both(async |cluster| {
        let (ana, bob) = (cluster.one.session("Ana").await, cluster.two.session("Bob").await);
        let group = ana.post("/v1/groups", &json!({"name": "g"})).await.expect(201);
        let (id, topic) = (text(&group, "id").to_owned(), format!("group:{}", text(&group, "id")));
        bob.post(&format!("/v1/groups/{id}/join"), &json!({})).await;
        ana.join(&topic).await;
        bob.join(&topic).await;
        let mut stream = bob.stream().await;
        soon(&mut stream, "presence_state").await;
        ana.delete(&format!("/v1/groups/{id}/members/{}", bob.user_id)).await.expect(204);
        assert_eq!(soon(&mut stream, "message").await.data["code"], 4);
        assert_eq!(soon(&mut stream, "left").await.data["reason"], "kicked");
        ana.send(&topic, json!("among us")).await;
        stream.expect_silence(Duration::from_millis(500)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_moves_ends_the_old_one_and_nobody_sees_a_leave() {
    on_both(async |cluster| {
        let (ana, bob) = (cluster.one.session("Ana").await, cluster.two.session("Bob").await);
        // With a stream before the join, no grace period runs, however slow the machine is.
        let mut streams = vec![ana.stream().await];
        streams[0].ready().await;
        ana.join(ROOM).await;
        bob.join(ROOM).await;
        let mut watching = bob.stream().await;
        soon(&mut watching, "presence_state").await;
        let mut view = Vec::new();
        // Back and forth: each opening replaces the stream on the other instance, whose end must not end the presence.
        for n in 0..6 {
            let session = if n % 2 == 0 { ana.at(&cluster.two) } else { ana.clone() };
            let mut next = session.stream().await;
            next.ready().await;
            let mut old = streams.pop().unwrap();
            let bye = soon(&mut old, "bye").await;
            assert_eq!(bye.data["reason"], "replaced");
            old.end().await;
            streams.push(next);
        }
        // Longer than the grace period: a wrong end of presence would show.
        let deadline = Instant::now() + Duration::from_millis(2_500);
        while let Next::Event(event) = watching.next_until(deadline).await {
            view.push(event);
        }
        assert!(!view.iter().any(|event| leaves(&event.data, &ana)), "{view:#?}");
        assert!(bob.present(ROOM).await.contains(&ana.id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_the_other_instance_without_loss_or_repeat() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut received = Vec::new();
        let mut stream = bob.stream().await;
        let senders = [ana.clone(), ana.at(&cluster.two)];
        let sending = tokio::spawn(async move {
            for n in 0..200 {
                senders[n % 2].send(ROOM, json!(n)).await;
            }
        });
        let mut homes = [&cluster.one, &cluster.two].into_iter().cycle();
        while received.len() < 200 {
            for event in stream.message_events(20.min(200 - received.len())).await {
                received.push(event.data);
            }
            let id = stream.cut();
            stream = bob.at(homes.next().unwrap()).stream_from(&id).await;
        }
        sending.await.unwrap();
        assert_eq!(seqs(&received), (1..=200).collect::<Vec<_>>());
        assert_eq!(contents(&received), (0..200).map(|n| json!(n)).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_on_both_instances_make_one_order_for_all() {
    on_both(async |cluster| {
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut streams = [ana.stream().await, bob.stream().await];
        let mut sending = Vec::new();
        for n in 0..8 {
            let session = if n % 2 == 0 { ana.clone() } else { bob.clone() };
            sending.push(tokio::spawn(async move {
                for m in 0..25 {
                    session.send(ROOM, json!([n, m])).await;
                }
            }));
        }
        let mut received = Vec::new();
        for stream in &mut streams {
            received.push(stream.messages(200).await);
        }
        for task in sending {
            task.await.unwrap();
        }
        assert_eq!(seqs(&received[0]), (1..=200).collect::<Vec<_>>());
        assert_eq!(received[0], received[1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_on_a_killed_instance_is_gone_after_lease_and_grace_once() {
    for route in [Route::Postgres, Route::Nats] {
        let flags = ["--presence-grace", "1s", "--lease", "2s"];
        let Some(cluster) = Cluster::start(route, &flags).await else { return };
        let mut third = cluster.process(&flags).await;
        let (ana, bob) = (third.session("Ana").await, cluster.two.session("Bob").await);
        // With a stream before the join, no grace period runs until the kill, however slow the machine is.
        let mut listening = ana.stream().await;
        listening.ready().await;
        ana.join(ROOM).await;
        bob.join(ROOM).await;
        let mut watching = bob.stream().await;
        soon(&mut watching, "presence_state").await;
        sleep(Duration::from_millis(1_500)).await;
        third.kill9();
        drop(listening);
        let killed = Instant::now();
        within(&mut watching, LATER, "presence", |data| leaves(data, &ana)).await;
        let after = killed.elapsed();
        assert!(after >= Duration::from_millis(1_300), "not before lease and grace: {after:?}");
        for event in watching.expect_none_of("bye", Duration::from_secs(5)).await {
            assert!(!leaves(&event.data, &ana), "told once, whoever sweeps: {event:?}");
        }
        assert!(!bob.present(ROOM).await.contains(&ana.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_freeze_the_other_instances_see_the_sessions_of_the_frozen_one_again() {
    let flags = ["--presence-grace", "500ms", "--lease", "1s"];
    let Some(cluster) = Cluster::start(Route::Postgres, &flags).await else { return };
    let third = cluster.process(&flags).await;
    let (ana, bob) = (third.session("Ana").await, cluster.two.session("Bob").await);
    ana.join(ROOM).await;
    bob.join(ROOM).await;
    let mut anas = ana.stream().await;
    anas.ready().await;
    let mut watching = bob.stream().await;
    soon(&mut watching, "presence_state").await;
    let signal = |name| Command::new("kill").arg(name).arg(third.pid().to_string()).status().unwrap();
    assert!(signal("-STOP").success());
    within(&mut watching, LATER, "presence", |data| leaves(data, &ana)).await;
    // A message from meanwhile waits for it.
    let sent = bob.send(ROOM, json!("are you there?")).await;
    assert!(signal("-CONT").success());
    within(&mut watching, LATER, "presence", |data| joins(data, &ana)).await;
    assert_eq!(anas.next_of("message").await.data, sent);
    anas.expect_none_of("message", Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_database_ends_lose_and_double_nothing() {
    let Some(cluster) = Cluster::start(Route::Postgres, &[]).await else { return };
    let (ana, bob) = ana_and_bob(&cluster).await;
    let mut stream = bob.stream().await;
    soon(&mut stream, "presence_state").await;
    for n in 1..=10 {
        if n % 3 == 0 {
            cluster.database.cut(if n % 2 == 0 { "parlour%" } else { "parlour bus" }).await;
        }
        // A send that fails is retried with its key.
        let since = Instant::now();
        while ana.send_with(ROOM, &json!({"content": n}), &format!("key-{n}")).await.status >= 500 {
            assert!(since.elapsed() < LATER, "sends work again");
            sleep(Duration::from_millis(100)).await;
        }
        let message = within(&mut stream, LATER, "message", |_| true).await;
        assert_eq!((number(&message.data, "seq"), &message.data["content"]), (n, &json!(n)));
    }
}
