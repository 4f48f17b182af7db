//! Read marks: they move forward, at most to the end, for a user on all their devices.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{Random, Session, TestApp, members, messages_of, number, text};

const ROOM: &str = "room:lobby";

/// Returns a user's read mark: a move to 0 moves nothing and returns the present mark.
async fn mark(session: &Session, topic: &str) -> u64 {
    number(&session.mark_read(topic, 0).await, "read_seq")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_moves_forward_only_and_at_most_to_the_end() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    ana.send_numbers(ROOM, 1..=5).await;
    for (to, stands) in [(0, 0), (2, 2), (1, 2), (2, 2), (3, 3), (0, 3), (9, 5), (4, 5), (i64::MAX, 5)] {
        let answer = bea.try_mark_read(ROOM, &json!({"seq": to})).await.expect(200);
        let expected = json!({"topic": ROOM, "last_seq": 5, "read_seq": stands, "unread": 5 - stands});
        assert_eq!(answer, expected, "to {to}");
    }
    ana.send(ROOM, json!(6)).await;
    assert_eq!(mark(&bea, ROOM).await, 5, "beyond the end it was not: what comes later is unread");
    assert_eq!(bea.mark_read(ROOM, 6).await["unread"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_the_users_on_all_devices_and_nobody_elses() {
    let app = TestApp::start().await;
    let (ana, bea, phone) = (app.session("ana").await, app.session("bea").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    ana.send_numbers(ROOM, 1..=3).await;
    bea.mark_read(ROOM, 2).await;
    assert_eq!((mark(&bea, ROOM).await, mark(&phone, ROOM).await), (2, 2));
    assert_eq!((mark(&ana, ROOM).await, mark(&app.session("cleo").await, ROOM).await), (3, 0));
    bea.sign_out().await;
    assert_eq!(mark(&app.session("bea").await, ROOM).await, 2, "it outlives the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_topic_that_the_caller_may_see_has_one_and_no_other() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let joined = ana.join(&ana.dm(&bea)).await;
    let dm = text(&joined["topic"], "id");
    assert_eq!(
        bea.mark_read(&bea.dm(&ana), 7).await,
        json!({"topic": dm, "last_seq": 0, "read_seq": 0, "unread": 0}),
        "nothing to read yet"
    );
    ana.send(dm, json!("hi")).await;
    assert_eq!(bea.mark_read(dm, 7).await, json!({"topic": dm, "last_seq": 1, "read_seq": 1, "unread": 0}));
    for unseen in [dm, "dm:nobody", "room:never-joined", "group:0190a5b0-7c00-7000-8000-000000000000"] {
        assert_eq!(cleo.try_mark_read(unseen, &json!({"seq": 1})).await.refused(404), "not_found", "{unseen}");
    }
    for wrong in ["lobby", "room:", &format!("dm:{}", cleo.user_id)] {
        assert_eq!(cleo.try_mark_read(wrong, &json!({"seq": 1})).await.refused(422), "invalid", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_that_nobody_has_joined_answers_zeros_and_is_not_made_by_that() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let answer = ana.mark_read(&ana.dm(&bea), 3).await;
    let topic = ana.topic(&ana.dm(&bea)).await;
    assert_eq!(answer, json!({"topic": topic["id"], "last_seq": 0, "read_seq": 0, "unread": 0}));
    assert_eq!(topic["created_at"], Value::Null, "{topic}");
    bea.join(&bea.dm(&ana)).await;
    bea.send_numbers(&bea.dm(&ana), 1..=3).await;
    assert_eq!(mark(&ana, &ana.dm(&bea)).await, 0, "what was read before there was anything does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_says_seq_and_nothing_else() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    for wrong in [
        json!({}),
        json!({"seq": -1}),
        json!({"seq": "1"}),
        json!({"seq": 1.5}),
        json!({"seq": null}),
        json!({"seq": 9_223_372_036_854_775_808_u64}),
        json!({"seq": 1, "topic": ROOM}),
        json!([1]),
        json!(1),
    ] {
        assert_eq!(ana.try_mark_read(ROOM, &wrong).await.refused(422), "invalid", "{wrong}");
    }
    let broken = ana.call(reqwest::Method::PUT, "/v1/topics/room:lobby/read").body("{\"seq\":").send().await;
    assert_eq!(broken.refused(400), "malformed_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_marks_never_move_back() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let mut random = Random::new();
    ana.join(ROOM).await;
    join_all((0..200).map(|number| ana.send(ROOM, json!(number)))).await;
    for round in 0..40 {
        let mut targets: Vec<u64> = (round * 5 + 1..=round * 5 + 5).collect();
        random.shuffle(&mut targets);
        let moves = targets.iter().map(|&seq| bea.mark_read(ROOM, seq));
        for (target, answer) in targets.iter().zip(join_all(moves).await) {
            assert!(number(&answer, "read_seq") >= *target, "{answer} after {target} of {targets:?}");
        }
        assert_eq!(mark(&bea, ROOM).await, round * 5 + 5, "after {targets:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_moves_ones_own_mark_to_ones_own_message() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for topic in [ROOM, &ana.dm(&bea)] {
        let topic = text(&ana.join(topic).await["topic"], "id").to_owned();
        bea.join(&topic).await;
        ana.send_numbers(&topic, 1..=3).await;
        assert_eq!((mark(&ana, &topic).await, mark(&bea, &topic).await), (3, 0), "{topic}");
        bea.send(&topic, json!("an answer")).await;
        assert_eq!((mark(&ana, &topic).await, mark(&bea, &topic).await), (3, 4), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stores_nothing_moves_no_mark() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    let body = json!({"content": "once"});
    ana.send_with(ROOM, &body, "key").await.expect(201);
    bea.send(ROOM, json!("between")).await;
    ana.send_with(ROOM, &body, "key").await.expect(200);
    ana.send_with(ROOM, &json!({"content": "another"}), "key").await.refused(422);
    ana.send_ephemeral(ROOM, "passing").await;
    ana.leave(ROOM).await;
    ana.try_send(ROOM, json!("not joined")).await.refused(409);
    assert_eq!(mark(&ana, ROOM).await, 1);
}

/// Batches of several write queues move the marks of the same users at once, while these also move them by calls.
#[tokio::test(flavor = "multi_thread")]
async fn crowds_of_senders_all_get_their_marks() {
    let app = TestApp::start().await;
    let users = app.sessions("user", 4).await;
    let rooms: Vec<String> = (0..8).map(|at| format!("room:{at}")).collect();
    for user in &users {
        join_all(rooms.iter().map(|room| user.join(room))).await;
    }
    for _ in 0..5 {
        let sends = users.iter().flat_map(|user| rooms.iter().map(move |room| (user, room)));
        let acts = sends.map(async |(user, room)| {
            let (sent, _) = join(user.send(room, json!("hi")), user.mark_read(room, 1)).await;
            (user, room, number(&sent, "seq"))
        });
        for (user, room, sent) in join_all(acts).await {
            assert_eq!(mark(user, room).await, sent, "{} in {room}", user.username);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_does_not_move_a_mark() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    ana.send_numbers(ROOM, 1..=3).await;
    bea.stream().await.messages(3).await;
    bea.get(&messages_of(ROOM)).await.expect(200);
    assert_eq!(mark(&bea, ROOM).await, 0, "to be shown is not to be read");
    assert_eq!(members(&bea.mark_read(ROOM, 1).await), ["last_seq", "read_seq", "topic", "unread"]);
}
