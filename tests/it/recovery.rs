//! What goes wrong on the way, and must not stay wrong: requests given up, a database that hangs, a frozen process, a
//! reader that stalls.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{
    Connection, DatabaseConnection, Event, EventStream, PresenceView, ServerProcess, Session, TestApp, encode,
};

const ROOM: &str = "room:lobby";

/// Holds SQLite's one write lock, so that the service cannot write; nothing on PostgreSQL, which has no such lock.
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

/// Who a stream says is present on a topic, from what it has said so far.
fn shown<'a>(events: impl IntoIterator<Item = &'a Event>, topic: &str) -> Vec<String> {
    let mut view = PresenceView::default();
    for event in events.into_iter().filter(|event| event.data["topic"] == topic) {
        view.take(event);
    }
    view.present.iter().cloned().collect()
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
    let before = watch.expect_none_of("bye", Duration::from_millis(500)).await;
    let Some(writer) = hold_writer(&app).await else { return };
    sleep(Duration::from_millis(3_300)).await;
    let_go(&writer).await;
    let after = watch.expect_none_of("bye", Duration::from_secs(4)).await;
    assert_eq!(bea.present(ROOM).await.len(), 2);
    assert_eq!(shown(before.iter().chain(&after), ROOM), bea.present(ROOM).await);
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
    let told = watch.expect_none_of("bye", Duration::from_secs(4)).await;
    let present = bea.present(ROOM).await;
    assert_eq!(present.len(), 2);
    assert_eq!(shown(&told, ROOM), present);
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
    let seen = stream.expect_none_of("bye", Duration::from_secs(4)).await;
    let twos = seen.iter().filter(|event| event.event == "message" && event.data["content"] == "two");
    assert_eq!(twos.count(), 1);
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
    sleep(Duration::from_millis(300)).await;
    for _ in 0..80 {
        bea.send(ROOM, json!("x".repeat(12_000))).await;
    }
    ana.join("room:other").await; // its stream, which nobody reads, does not come to hear of it
    let mut watch = bea.stream_with("from=now").await;
    watch.ready().await;
    let before = watch.expect_none_of("bye", Duration::from_millis(500)).await;
    drop(stalled);
    let after = watch.expect_none_of("bye", Duration::from_secs(4)).await;
    assert_eq!(shown(before.iter().chain(&after), "room:other"), [bea.id.clone()]);
}
