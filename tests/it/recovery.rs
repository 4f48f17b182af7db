//! Recovery from faults: requests whose caller hangs up, a database that hangs, a frozen process, a stalled reader.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    Connection, DEADLINE, DatabaseConnection, EventStream, PresenceView, ServerProcess, Session, TestApp, encode,
};

const ROOM: &str = "room:lobby";

/// Holds SQLite's one write lock, so that the service cannot write. Returns `None` on PostgreSQL, which has no such
/// lock.
async fn hold_writer(app: &TestApp) -> Option<DatabaseConnection> {
    let url = app.database_url();
    if !url.starts_with("sqlite:") {
        return None;
    }
    let database = DatabaseConnection::open(&url).await;
    database.execute("BEGIN IMMEDIATE").await;
    Some(database)
}

async fn let_go(database: &DatabaseConnection) {
    database.execute("COMMIT").await;
}

async fn listen(session: &Session) -> EventStream {
    let mut stream = session.stream().await;
    stream.ready().await;
    stream
}

/// Reads a stream, which must not end, until the presence events of a topic add up to these sessions and go on to for
/// two seconds more.
async fn until_shown(stream: &mut EventStream, topic: &str, sessions: &[&Session]) {
    let expected: BTreeSet<String> = sessions.iter().map(|session| session.id.clone()).collect();
    let (mut view, mut seen) = (PresenceView::default(), 0);
    let since = Instant::now();
    while view.present != expected || seen > 0 {
        assert!(since.elapsed() < 2 * DEADLINE, "{view:?} is not {expected:?}");
        let events = stream.expect_none_of("bye", Duration::from_secs(2)).await;
        let of_topic: Vec<_> = events.iter().filter(|event| event.data["topic"] == topic).collect();
        seen = of_topic.iter().filter(|event| view.take(event)).count();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leave_whose_caller_hangs_up_is_a_leave() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    bea.join(ROOM).await;
    let mut stream = listen(&ana).await;
    let Some(writer) = hold_writer(&app).await else { return };
    let leave = ana.call(Method::DELETE, &format!("/v1/session/topics/{}", encode(ROOM)));
    assert!(timeout(Duration::from_millis(300), leave.send()).await.is_err(), "the writer is held");
    let_go(&writer).await;
    assert_eq!(stream.next_of("left").await.data, json!({"topic": ROOM, "reason": "left"}));
    bea.send(ROOM, json!("among ourselves")).await;
    stream.expect_none_of("message", Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_brings_a_session_back_shows_it_on_all_its_topics() {
    let app = TestApp::with(&["--presence-grace", "2s"]).await;
    let (watcher, robot) = (app.session("watcher").await, app.session("robot").await);
    watcher.join(ROOM).await;
    let mut watch = listen(&watcher).await;
    watch.next_of("presence_state").await;
    robot.join(ROOM).await;
    robot.join("room:other").await;
    assert_eq!(watch.next_of("presence").await.data["joins"][0]["session_id"], robot.id);
    assert_eq!(watch.next_of("presence").await.data["leaves"][0]["session_id"], robot.id);
    robot.join("room:other").await;
    assert_eq!(watch.next_of("presence").await.data["joins"][0]["session_id"], robot.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_survive_a_database_that_hangs_for_longer_than_the_lease() {
    let app = TestApp::with(&["--presence-grace", "500ms", "--lease", "1s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    bea.join(ROOM).await;
    let (_ana, mut watch) = (listen(&ana).await, listen(&bea).await);
    let Some(writer) = hold_writer(&app).await else { return };
    sleep(Duration::from_millis(3_300)).await;
    let_go(&writer).await;
    until_shown(&mut watch, ROOM, &[&ana, &bea]).await;
    assert_eq!(bea.present(ROOM).await.len(), 2);
    assert_eq!(ana.get("/v1/session").await.expect(200)["stream_open"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_for_longer_than_its_lease_recovers_by_itself() {
    let server = ServerProcess::start(&["--presence-grace", "500ms", "--lease", "1s"]).await;
    let (ana, bea, caller) = (server.session("ana").await, server.session("bea").await, server.session("caller").await);
    ana.join(ROOM).await;
    bea.join(ROOM).await;
    let (_ana, mut watch) = (listen(&ana).await, listen(&bea).await);
    caller.join(ROOM).await; // online by a call, which runs out while the process is frozen
    let signal = |name: &str| Command::new("kill").args([name, &server.pid().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    sleep(Duration::from_secs(3)).await;
    assert!(signal("-CONT").success());
    until_shown(&mut watch, ROOM, &[&ana, &bea]).await;
    assert_eq!(bea.present(ROOM).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_left_and_joined_anew_under_a_busy_stream_doubles_nothing() {
    const ROOMS: usize = 140; // more than ids name at once: the stream has to wait for a checkpoint
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let room = |i: usize| format!("room:{i}");
    for i in 0..ROOMS {
        ana.join(&room(i)).await;
    }
    for i in 0..ROOMS {
        ana.send(&room(i), json!("one")).await;
    }
    let last = room(ROOMS - 1);
    bea.join(&last).await;
    let mut stream = ana.stream().await;
    sleep(Duration::from_millis(300)).await;
    ana.leave(&last).await;
    ana.join(&last).await;
    bea.send(&last, json!("two")).await;
    while stream.next_of("message").await.data["content"] != "two" {}
    let seen = stream.expect_none_of("bye", Duration::from_secs(3)).await;
    let twos = seen.iter().filter(|event| event.event == "message" && event.data["content"] == "two");
    assert_eq!(twos.count(), 0, "once is enough: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_that_joins_and_vanishes_leaves_no_ghost() {
    let app = TestApp::with(&["--presence-grace", "500ms"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    bea.join(ROOM).await;
    bea.join("room:other").await;
    let mut stalled = Connection::with_buffer(&app, Some(4096)).await;
    stalled.write(format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", ana.events_url).as_bytes()).await;
    ana.until_streaming(true).await;
    for _ in 0..80 {
        bea.send(ROOM, json!("x".repeat(12_000))).await;
    }
    ana.join("room:other").await; // her stream, which nobody reads, does not get as far as this join
    let mut watch = bea.stream_with("from=now").await;
    watch.ready().await;
    drop(stalled);
    until_shown(&mut watch, "room:other", &[&bea]).await;
}
