//! Presence: who is online on a topic, sent as net differences, with a grace period for reconnects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{DEADLINE, EventStream, PresenceView, Random, Session, TestApp, list, members, text};

const ROOM: &str = "room:lobby";

/// A session that has joined the room, and its stream, read up to `presence_state`.
async fn watcher(app: &TestApp) -> (Session, EventStream) {
    let session = app.session("watcher").await;
    session.join(ROOM).await;
    let mut stream = session.stream().await;
    stream.ready().await;
    stream.next_of("presence_state").await;
    (session, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_is_sent_as_joins_and_leaves() {
    let app = TestApp::start().await;
    let (_watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    let joined = ana.join(ROOM).await;
    let event = watch.next_of("presence").await;
    assert_eq!(members(&event.data), ["joins", "leaves", "presence_count", "topic"]);
    assert_eq!(event.data["topic"], ROOM);
    assert_eq!(event.data["joins"], json!([joined["self"]]));
    assert_eq!(event.data["leaves"], json!([]));
    assert_eq!(event.data["presence_count"], 2);
    assert_eq!(event.id, None, "presence needs no replay");
    ana.leave(ROOM).await;
    let event = watch.next_of("presence").await;
    assert_eq!(event.data["joins"], json!([]));
    assert_eq!(list(&event.data, "leaves").len(), 1);
    assert_eq!(event.data["leaves"][0]["session_id"], *ana.id);
    assert_eq!(event.data["presence_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_when_nothing_has_changed() {
    let app = TestApp::start().await;
    let (_watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    watch.next_of("presence").await;
    ana.join(ROOM).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    watch.expect_silence(Duration::from_millis(800)).await;
    ana.send(ROOM, json!("a message changes nothing about who is there")).await;
    let others = watch.expect_none_of("presence", Duration::from_millis(800)).await;
    assert_eq!(others.len(), 1, "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_net() {
    let app = TestApp::with(&["--presence-interval", "2s"]).await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let (_watcher, mut watch) = watcher(&app).await;
    ana.join(ROOM).await;
    watch.next_of("presence").await;
    // Within the interval that now begins:
    bea.join(ROOM).await;
    bea.leave(ROOM).await;
    ana.leave(ROOM).await;
    ana.join(ROOM).await;
    cleo.join(ROOM).await;
    let event = watch.next_of("presence").await;
    let told = event.data.to_string();
    assert!(told.contains(&cleo.id), "{told}");
    assert!(!told.contains(&bea.id), "who came and went has not been there: {told}");
    assert_eq!(event.data["presence_count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_at_most_one_difference_per_interval() {
    let app = TestApp::with(&["--presence-interval", "1s"]).await;
    let (_watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    let since = Instant::now();
    let churn = async {
        while since.elapsed() < Duration::from_secs(4) {
            ana.join(ROOM).await;
            ana.leave(ROOM).await;
            sleep(Duration::from_millis(30)).await;
        }
    };
    let reading = watch.expect_none_of("message", Duration::from_secs(4));
    let (events, ()) = futures_util::future::join(reading, churn).await;
    assert!(events.len() <= 6, "{} differences in four seconds", events.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_a_user_are_two_presences() {
    let app = TestApp::start().await;
    let (_watcher, mut watch) = watcher(&app).await;
    let (phone, laptop) = (app.session("ana").await, app.session("ana").await);
    for session in [&phone, &laptop] {
        session.join(ROOM).await;
        let event = watch.next_of("presence").await;
        assert_eq!(event.data["joins"][0]["session_id"], *session.id);
        assert_eq!(event.data["joins"][0]["user_id"], *phone.user_id);
    }
    phone.leave(ROOM).await;
    let event = watch.next_of("presence").await;
    assert_eq!(event.data["leaves"][0]["session_id"], *phone.id);
    assert_eq!(list(&event.data, "leaves").len(), 1, "the laptop stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_session_receives_and_is_not_seen() {
    let app = TestApp::start().await;
    let (watcher, mut watch) = watcher(&app).await;
    let ghost = app.session("ghost").await;
    let joined = ghost.join_hidden(ROOM).await;
    assert_eq!(joined["presence_count"], 1);
    assert_eq!(list(&joined, "presences")[0]["session_id"], *watcher.id);
    let mut stream = ghost.stream().await;
    stream.ready().await;
    watch.expect_silence(Duration::from_millis(500)).await;
    assert_eq!(watcher.present(ROOM).await, [watcher.id.clone()]);
    watcher.send(ROOM, json!("who is there?")).await;
    assert_eq!(stream.messages(1).await[0]["content"], "who is there?");
    ghost.send(ROOM, json!("me")).await;
    ghost.leave(ROOM).await;
    let others = watch.expect_none_of("presence", Duration::from_millis(500)).await;
    assert_eq!(others.len(), 2, "two messages: {others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_within_the_grace_period_is_invisible() {
    let app = TestApp::with(&["--presence-grace", "8s"]).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let (_watcher, mut watch) = watcher(&app).await;
    watch.expect_silence(Duration::from_millis(500)).await;
    for _ in 0..3 {
        let id = stream.cut();
        watch.expect_silence(Duration::from_secs(1)).await;
        stream = ana.stream_from(&id).await;
        stream.ready().await;
    }
    // Longer than the grace period: no closed stream ends the presence of a newer one.
    watch.expect_silence(Duration::from_secs(9)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_away_longer_goes_offline_and_keeps_the_join() {
    let app = TestApp::with(&["--presence-grace", "1s"]).await;
    let (watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    // With a stream before the join, no grace period runs until it is cut, however slow the machine is.
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.join(ROOM).await;
    stream.next_of("presence_state").await;
    watch.next_of("presence").await;
    let (id, cut) = (stream.cut(), Instant::now());
    let gone = watch.next_of("presence").await;
    assert_eq!(gone.data["leaves"][0]["session_id"], *ana.id);
    assert!(cut.elapsed() > Duration::from_millis(900), "not before the grace has passed: {:?}", cut.elapsed());
    assert_eq!(watcher.present(ROOM).await, [watcher.id.clone()]);

    watcher.send(ROOM, json!("you are missing this")).await;
    let mut stream = ana.stream_from(&id).await;
    assert_eq!(stream.messages(1).await[0]["content"], "you are missing this", "and nothing is missed");
    let back = watch.next_of("presence").await;
    assert_eq!(back.data["joins"][0]["session_id"], *ana.id, "presence comes back with the stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_keeps_a_session_online_as_a_stream_does() {
    let app = TestApp::with(&["--presence-grace", "6s"]).await;
    let (_watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    watch.next_of("presence").await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(8) {
        ana.get("/v1/me").await.expect(200);
        watch.expect_silence(Duration::from_millis(250)).await;
    }
    let gone = watch.next_of("presence").await;
    assert_eq!(gone.data["leaves"][0]["session_id"], *ana.id, "and without one it goes offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_presence_without_grace() {
    let app = TestApp::start().await;
    let (_watcher, mut watch) = watcher(&app).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    watch.next_of("presence").await;
    ana.sign_out().await;
    let gone = watch.next_of("presence").await;
    assert_eq!(gone.data["leaves"][0]["session_id"], *ana.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_offline_concerns_every_topic_and_leaving_only_one() {
    let app = TestApp::with(&["--presence-grace", "1s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    // Each has a stream before it joins: no grace period runs until one is dropped, however slow the machine is.
    let (mut stream, mut watch) = (ana.stream().await, bea.stream().await);
    stream.ready().await;
    watch.ready().await;
    for room in ["room:a", "room:b"] {
        bea.join(room).await;
        watch.next_of("presence_state").await;
        ana.join(room).await;
        assert_eq!(watch.next_of("presence").await.data["joins"][0]["session_id"], *ana.id);
    }
    drop(stream);
    let gone = [watch.next_of("presence").await, watch.next_of("presence").await];
    let mut topics = gone.map(|event| {
        assert_eq!(event.data["leaves"][0]["session_id"], *ana.id);
        text(&event.data, "topic").to_owned()
    });
    topics.sort_unstable();
    assert_eq!(topics, ["room:a", "room:b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_add_up_to_the_state() {
    let app = TestApp::with(&["--presence-grace", "300ms"]).await;
    let (watcher, _) = watcher(&app).await;
    let mut watch = watcher.stream().await;
    let sessions = app.sessions("guest", 8).await;
    let mut streams: Vec<Option<EventStream>> = sessions.iter().map(|_| None).collect();
    let mut random = Random::new();
    let churn = async {
        for _ in 0..150 {
            let at = random.below(sessions.len());
            match random.below(6) {
                0 => drop(sessions[at].join(ROOM).await),
                1 => drop(sessions[at].join_hidden(ROOM).await),
                2 => sessions[at].leave(ROOM).await,
                3 => streams[at] = Some(sessions[at].stream().await),
                4 => streams[at] = None,
                _ => sleep(Duration::from_millis(40)).await,
            }
        }
        // Five have a stream and stay; the others leave.
        for session in &sessions[5..] {
            session.leave(ROOM).await;
        }
        for (at, session) in sessions.iter().enumerate().take(5) {
            // A hidden join stays hidden, so leave and join again.
            session.leave(ROOM).await;
            session.join(ROOM).await;
            streams[at] = Some(session.stream().await);
        }
    };
    let mut view = PresenceView::default();
    let churned = AtomicBool::new(false);
    let churning = async {
        churn.await;
        churned.store(true, Ordering::Relaxed);
    };
    let mut expected: Vec<String> = sessions[..5].iter().chain([&watcher]).map(|session| session.id.clone()).collect();
    expected.sort_unstable();
    let reading = async {
        let deadline = Instant::now() + 6 * DEADLINE;
        while !churned.load(Ordering::Relaxed) || !view.present.iter().eq(&expected) {
            assert!(Instant::now() < deadline, "{view:?} is not {expected:?}");
            for event in watch.expect_none_of("message", Duration::from_millis(200)).await {
                view.take(&event);
            }
        }
    };
    futures_util::future::join(churning, reading).await;
    // From here on nothing changes any more.
    assert_eq!(watcher.present(ROOM).await, expected);
    for event in watch.expect_none_of("message", Duration::from_millis(1_500)).await {
        view.take(&event);
    }
    assert!(view.present.iter().eq(&expected), "{view:?} is not {expected:?}");
}

/// Whatever changed just before, and whoever read the presence meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_answers_with_those_who_are_there_by_then() {
    let (app, mut random) = (TestApp::start().await, Random::new());
    let (watcher, _watch) = watcher(&app).await;
    let mut there: Vec<Session> = Vec::new();
    for round in 0..40 {
        let one = (!there.is_empty()).then(|| random.below(there.len()));
        match (random.below(6), one) {
            (0, Some(one)) => there.swap_remove(one).leave(ROOM).await,
            (1, Some(one)) => there.swap_remove(one).sign_out().await,
            (2, Some(one)) => drop(there[one].join_hidden(ROOM).await),
            (3, Some(one)) => {
                let renamed = json!({"username": format!("renamed {round}")});
                there[one].patch("/v1/me", &renamed).await.expect(200);
            }
            (4, _) => sleep(Duration::from_millis(300)).await, // longer than an interval
            _ => {}
        }
        let came = app.session(&format!("guest {round}")).await;
        let joined = came.join(ROOM).await;
        let known = watcher.get("/v1/topics/room:lobby/presences?limit=100").await.expect(200);
        assert_eq!(joined["presences"], known["presences"], "round {round}");
        assert_eq!(joined["presence_count"], list(&known, "presences").len());
        assert!(list(&known, "presences").contains(&joined["self"]), "{joined}");
        there.push(came);
    }
}
