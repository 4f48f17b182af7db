//! Concurrent calls of many clients: the database decides, and all clients get the same result.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::{DEADLINE, DatabaseConnection, PresenceView, Session, TestApp, number, seqs, text};

const ROOM: &str = "room:lobby";

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_opens_many_sessions_at_once_is_one_user() {
    let app = TestApp::start().await;
    let sessions = join_all((0..12).map(|_| app.session("ana"))).await;
    assert!(sessions.iter().all(|session| session.user_id == sessions[0].user_id));
    let shown = sessions[0].get("/v1/me/sessions").await.expect(200);
    assert_eq!(shown["sessions"].as_array().unwrap().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_many_join_first_is_one_room() {
    let app = TestApp::start().await;
    let sessions = app.sessions("guest", 12).await;
    let joined = join_all(sessions.iter().map(|session| session.join("room:new"))).await;
    assert!(joined.iter().all(|joined| joined["position"] == 0));
    assert_eq!(sessions[0].present("room:new").await.len(), 12);
    let sent = join_all(sessions.iter().map(|session| session.send("room:new", json!("me first")))).await;
    let mut sent = seqs(&sent);
    sent.sort_unstable();
    assert_eq!(sent, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_that_both_sides_open_at_once_is_one_topic() {
    let app = TestApp::start().await;
    for round in 0..8 {
        let (ana, bea) = (app.session(&format!("ana {round}")).await, app.session(&format!("bea {round}")).await);
        let (to_bea, to_ana) = (format!("dm:{}", bea.user_id), format!("dm:{}", ana.user_id));
        let (one, two) = join(ana.join(&to_bea), bea.join(&to_ana)).await;
        assert_eq!(one["topic"]["id"], two["topic"]["id"]);
        let (one, two) = join(ana.send(&to_bea, json!("hi")), bea.send(&to_ana, json!("hi"))).await;
        assert_eq!(number(&one, "seq") + number(&two, "seq"), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_joins_at_once_are_one_join() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    join_all((0..12).map(|_| ana.join("room:lobby"))).await;
    assert_eq!(ana.present("room:lobby").await, [ana.id.clone()]);
    let ready = ana.stream().await.ready().await;
    assert_eq!(ready["topics"], json!([{"topic": "room:lobby", "position": 0}]));
    ana.leave("room:lobby").await;
    assert_eq!(ana.try_send("room:lobby", json!(1)).await.refused(409), "not_joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_at_once_keep_to_the_limit() {
    let app = TestApp::with(&["--max-joins", "5"]).await;
    let ana = app.session("ana").await;
    let rooms: Vec<String> = (0..20).map(|number| format!("room:{number}")).collect();
    let replies = join_all(rooms.iter().map(|room| ana.try_join(room))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 5);
    assert_eq!(replies.iter().filter(|reply| reply.status == 409).count(), 15);
    let joined = ana.get("/v1/session/topics").await.expect(200);
    assert_eq!(joined["topics"].as_array().unwrap().len(), 5);
}

/// Sends until it is refused, and returns the refusal's status with what was acknowledged.
async fn send_until_refused(session: Session) -> (u16, Vec<u64>) {
    let mut acknowledged = Vec::new();
    loop {
        let reply = session.try_send("room:lobby", json!("still in")).await;
        if reply.status != 201 {
            return (reply.status, acknowledged);
        }
        acknowledged.push(number(&reply.json(), "seq"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_a_leave_or_a_sign_out_is_acknowledged() {
    let app = TestApp::start().await;
    let onlooker = app.session("onlooker").await;
    for (round, status) in [(0, 409), (1, 401), (2, 409), (3, 401)] {
        let ana = app.session(&format!("ana {round}")).await;
        ana.join("room:lobby").await;
        let senders: Vec<_> = (0..3).map(|_| tokio::spawn(send_until_refused(ana.clone()))).collect();
        let before = onlooker.last_seq("room:lobby").await;
        while onlooker.last_seq("room:lobby").await < before + 10 {}
        if status == 409 {
            ana.leave("room:lobby").await;
        } else {
            ana.sign_out().await;
        }
        let end = onlooker.last_seq("room:lobby").await;
        for sender in senders {
            let (refused, acknowledged) = sender.await.unwrap();
            assert_eq!(refused, status);
            assert!(acknowledged.iter().all(|&seq| seq <= end), "{status}: {acknowledged:?} after {end}");
        }
        assert_eq!(onlooker.last_seq("room:lobby").await, end);
    }
    let history = onlooker.whole_history("room:lobby").await;
    assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>());
    assert!(history.iter().all(|message| text(message, "content") == "still in"));
}

/// A send waits for a leave that is being committed, and is refused then, although it was sent before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_waited_for_a_leave_is_refused() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!("before")).await;
    let url = app.database_url();
    let begin = if url.starts_with("sqlite:") { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let database = DatabaseConnection::open(&url).await;
    for sql in [begin, "UPDATE session SET joins_version = joins_version + 1", "UPDATE joined SET ended = 0"] {
        database.execute(sql).await;
    }
    let mut send = Box::pin(ana.try_send("room:lobby", json!("after")));
    assert!(timeout(Duration::from_millis(300), &mut send).await.is_err(), "it waits");
    database.execute("COMMIT").await;
    assert_eq!(send.await.refused(409), "not_joined");
}

/// Joins and leaves of one session that overlap, many times: whichever was last, the view shows what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_in_the_same_moment_leaves_no_ghost() {
    let app = TestApp::with(&["--presence-grace", "60s"]).await;
    let watcher = app.session("watcher").await;
    watcher.join(ROOM).await;
    let mut watch = watcher.stream().await;
    let coming_and_going = app.sessions("guest", 12).await.into_iter().map(async |session| {
        for _ in 0..12 {
            join(session.try_join(ROOM), session.leave(ROOM)).await;
        }
        session.leave(ROOM).await;
    });
    join_all(coming_and_going).await;
    assert_eq!(watcher.present(ROOM).await, [watcher.id.as_str()]);
    // Until nobody else is shown, and nothing more comes for a second.
    let (mut view, mut seen) = (PresenceView::default(), 0);
    let since = Instant::now();
    while view.count != 1 || seen > 0 {
        assert!(since.elapsed() < 2 * DEADLINE, "ghosts: {view:?}");
        let events = watch.expect_none_of("message", Duration::from_secs(1)).await;
        seen = events.iter().filter(|event| view.take(event)).count();
    }
    assert!(view.present.iter().eq([&watcher.id]), "{view:?}");
    let joined = app.session("another").await.join(ROOM).await;
    assert_eq!(joined["presence_count"], 2);
}
