//! PostgreSQL is away, hangs, or is slow with one topic. Calls that need it are refused in time, streams stay open, and
//! all goes on when it is back.

use reqwest::Method;

use super::*;
use crate::support::{Proxy, Reply, TestApp, TestDatabase, messages_of};

/// Longer than every wait of the service for its database, and than it takes a busy machine to notice.
const UNAVAILABLE_DEADLINE: Duration = Duration::from_secs(25);
const FLAGS: [&str; 4] = ["--presence-grace", "1s", "--lease", "3s"];

async fn try_send(session: &Session, number: u64) -> Reply {
    let call = session.call(Method::POST, &messages_of(ROOM)).header("idempotency-key", &format!("key-{number}"));
    call.json(&json!({"content": number})).try_send().await.unwrap()
}

/// Retries a send, with the same idempotency key, until it is acknowledged.
async fn send_surely(session: &Session, number: u64) {
    let since = Instant::now();
    while ![200, 201].contains(&try_send(session, number).await.status) {
        assert!(since.elapsed() < LATER, "sends do not work again");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Checks that the service, while the database is away, refuses sends and `/readyz` in time with a 503 that says to
/// retry.
async fn expect_away(session: &Session, number: u64) {
    let since = Instant::now();
    assert_eq!(try_send(session, number).await.refused(503), "unavailable");
    assert!(since.elapsed() < UNAVAILABLE_DEADLINE, "refused after {:?}", since.elapsed());
    let since = Instant::now();
    session.api.get("/readyz").try_send().await.unwrap().refused(503);
    assert!(since.elapsed() < Duration::from_secs(10), "refused after {:?}", since.elapsed());
    session.api.get("/healthz").send().await.expect(200);
}

/// Checks that the next messages are those from `from` to `to`, each once, and that meanwhile nothing ended and nobody
/// left.
async fn expect_all(stream: &mut EventStream, from: u64, to: u64) {
    for number in from..=to {
        let event = loop {
            let event = stream.next().await;
            match event.event.as_str() {
                "message" => break event,
                "presence" => assert_eq!(event.data["leaves"], json!([]), "nobody had gone: {event:?}"),
                other => assert!(["ready", "presence_state"].contains(&other), "{event:?}"),
            }
        };
        assert_eq!((crate::support::number(&event.data, "seq"), &event.data["content"]), (number, &json!(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_for_a_while_costs_nothing_but_that_while() {
    tokio::join!(gone_for_a_while(Route::Postgres), gone_for_a_while(Route::Nats));
}

async fn gone_for_a_while(route: Route) {
    let Some(database) = TestDatabase::alone().await else { return };
    let cluster = Cluster::on(database.clone(), route, &FLAGS).await;
    let (ana, bob) = ana_and_bob(&cluster).await;
    let (mut anas, mut bobs) = (ana.stream().await, bob.stream().await);
    send_surely(&ana, 1).await;
    tokio::join!(expect_all(&mut anas, 1, 1), expect_all(&mut bobs, 1, 1));
    database.crash().await;
    tokio::join!(expect_away(&ana, 2), expect_away(&bob, 3));
    // Longer than the lease and the grace period.
    let gone = Duration::from_secs(5);
    tokio::join!(anas.expect_none_of("bye", gone), bobs.expect_none_of("bye", gone));
    database.rise().await;
    for number in 2..=6 {
        send_surely(if number % 2 == 0 { &ana } else { &bob }, number).await;
    }
    for stream in [&mut anas, &mut bobs] {
        expect_all(stream, 2, 6).await;
        for event in stream.expect_none_of("message", Duration::from_secs(4)).await {
            assert!(event.event != "presence" || event.data["leaves"] == json!([]), "nobody had gone: {event:?}");
        }
    }
    assert_eq!(bob.present(ROOM).await.len(), 2);
    assert_eq!(ana.get("/v1/session").await.expect(200)["stream_open"], true);
    for app in [&cluster.one, &cluster.two] {
        app.get("/readyz").send().await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_without_a_word_is_given_up_and_found_again() {
    let Some(database) = TestDatabase::shared().await else { return };
    let proxy = Proxy::faithful(&database.address()).await;
    let url = database.url_at(&proxy.address());
    let app = TestApp::on(database.clone(), &[&["--database-url", &url], &FLAGS[..]].concat()).await;
    let (ana, bob) = (app.session("Ana").await, app.session("Bob").await);
    ana.join(ROOM).await;
    bob.join(ROOM).await;
    let mut stream = bob.stream().await;
    send_surely(&ana, 1).await;
    expect_all(&mut stream, 1, 1).await;
    proxy.hang();
    expect_away(&ana, 2).await;
    let asked = Instant::now();
    let refused = ana.call(Method::GET, "/v1/session").try_send().await.unwrap();
    assert_eq!(refused.refused(503), "unavailable");
    assert!(asked.elapsed() < UNAVAILABLE_DEADLINE, "told after {:?}", asked.elapsed());
    stream.expect_none_of("bye", Duration::from_secs(1)).await;
    // The earlier connections still hang, and do not close.
    proxy.heal();
    send_surely(&ana, 2).await;
    send_surely(&ana, 3).await;
    within(&mut stream, LATER, "message", |data| data["content"] == 2).await;
    within(&mut stream, LATER, "message", |data| data["content"] == 3).await;
    app.get("/readyz").send().await.expect(200);
}

/// Makes PostgreSQL slow with each entry of one topic.
async fn slow_down(database: &TestDatabase, topic: &str) {
    for sql in [
        "ALTER TABLE message RENAME TO entries",
        &format!(
            "CREATE FUNCTION slowly(topic BIGINT) RETURNS BOOLEAN VOLATILE LANGUAGE plpgsql AS $$ BEGIN \
             IF topic = (SELECT id FROM topic WHERE name = '{topic}') THEN PERFORM pg_sleep(0.05); END IF; \
             RETURN TRUE; END $$"
        ),
        "CREATE VIEW message AS SELECT * FROM entries WHERE slowly(topic_id)",
    ] {
        database.execute(sql).await;
    }
}

/// Messages that are sent, one after the other, while PostgreSQL takes three seconds to read the slow topic.
const LIVE: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow_with_one_topic_keeps_nobody_from_the_others() {
    let Some(cluster) = Cluster::start(Route::Postgres, &FLAGS).await else { return };
    let (ana, bob) = ana_and_bob(&cluster).await;
    for room in ["room:slow", "room:other"] {
        ana.join(room).await;
        bob.join(room).await;
        for number in 1..=60 {
            ana.send(room, json!(number)).await;
        }
    }
    slow_down(&cluster.database, "room:slow").await;
    // No entry of this room is in the memory of his instance.
    let mut stream = bob.stream().await;
    let mut slow = 0;
    let since = Instant::now();
    let mut others = 0;
    let mut live = 0;
    while slow < 60 {
        if live < LIVE && others >= 60 {
            live += 1;
            ana.send(ROOM, json!(live)).await;
            within(&mut stream, LATER, "message", |data| {
                assert_ne!(data["topic"], "room:slow", "before what was sent after {:?}", since.elapsed());
                data["topic"] == ROOM
            })
            .await;
            continue;
        }
        let event = stream.next().await;
        match event.data["topic"].as_str() {
            _ if event.event != "message" => {}
            Some("room:slow") => {
                assert_eq!(live, LIVE, "the others came first");
                assert!(since.elapsed() > Duration::from_secs(2), "it was slow: {:?}", since.elapsed());
                slow += 1;
            }
            _ => others += 1,
        }
    }
}
