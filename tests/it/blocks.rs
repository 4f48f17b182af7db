//! Blocks: while either of two users blocks the other, their direct message takes no joins and no sends.

mod races;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    DEADLINE, SECRET, Session, TestApp, claims, encode, list, members, messages_of, seqs, text, user_token,
};

/// The topic of a user's direct messages, as others name it.
fn dm(user: &Session) -> String {
    format!("dm:{}", user.user_id)
}

/// Two users without a direct message topic.
async fn two(app: &TestApp) -> [Session; 2] {
    [app.session("ana").await, app.session("bea").await]
}

/// Each of the two with the other: a block binds both sides.
fn both_ways([ana, bea]: &[Session; 2]) -> [[&Session; 2]; 2] {
    [[ana, bea], [bea, ana]]
}

/// Checks that neither user may join, send or type, under either name of the direct message.
async fn expect_blocked(sessions: &[&Session], users: &[Session; 2]) {
    let mut ids = users.each_ref().map(|user| user.user_id.as_str());
    ids.sort_unstable();
    let canonical = format!("dm:{}:{}", ids[0], ids[1]);
    for session in sessions {
        let other = users.iter().find(|user| user.user_id != session.user_id).unwrap();
        for topic in [&dm(other), &canonical] {
            assert_eq!(session.try_join(topic).await.refused(403), "blocked");
            assert_eq!(session.try_send(topic, json!("hi")).await.refused(403), "blocked");
            let refused = session.post(&messages_of(topic), &json!({"content": 1, "ephemeral": true})).await;
            assert_eq!(refused.refused(403), "blocked");
            let typing = session.call(Method::POST, &format!("/v1/topics/{}/typing", encode(topic))).send().await;
            assert_eq!(typing.refused(403), "blocked");
            session.leave(topic).await;
        }
        assert!(list(&session.get("/v1/session/topics").await.expect(200), "topics").is_empty());
    }
}

async fn blocks_of(session: &Session) -> Vec<String> {
    let blocks = session.get("/v1/me/blocks").await.expect(200);
    list(&blocks, "blocks").iter().map(|block| text(&block["user"], "user_id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_ends_the_joins_of_all_sessions_of_both() {
    let app = TestApp::start().await;
    for blocker in [0, 1] {
        let users = [app.session(&format!("ana {blocker}")).await, app.session(&format!("bea {blocker}")).await];
        let laptop = app.session(&format!("ana {blocker}")).await;
        let [ana, bea] = &users;
        let mut streams = Vec::new();
        for (session, other) in [(ana, bea), (&laptop, bea), (bea, ana)] {
            session.join(&dm(other)).await;
            streams.push(session.stream().await);
        }
        ana.send(&dm(bea), json!("hi")).await;
        for stream in &mut streams {
            stream.messages(1).await;
        }
        users[blocker].block(&users[1 - blocker]).await;
        assert!(ana.present(&dm(bea)).await.is_empty(), "presence ends with the joins");
        let id = text(&bea.topic(&dm(ana)).await, "id").to_owned();
        for stream in &mut streams {
            assert_eq!(stream.next_of("left").await.data, json!({"topic": id, "reason": "blocked"}));
        }
        expect_blocked(&[ana, &laptop, bea], &users).await;
        for stream in &mut streams {
            stream.expect_silence(Duration::from_millis(150)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_blocks_neither_joins_nor_sends() {
    let app = TestApp::start().await;
    for blocker in [0, 1] {
        let users = [app.session(&format!("ana {blocker}")).await, app.session(&format!("bea {blocker}")).await];
        // Nobody has opened it before.
        users[blocker].block(&users[1 - blocker]).await;
        expect_blocked(&[&users[0], &users[1]], &users).await;
        for [one, other] in both_ways(&users) {
            assert!(one.whole_history(&dm(other)).await.is_empty());
            let topic = one.topic(&dm(other)).await;
            assert_eq!((&topic["last_seq"], &topic["presence_count"]), (&json!(0), &json!(0)));
            let elsewhere = app.session(&one.username).await;
            expect_blocked(&[&elsewhere], &users).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_stays_readable_for_both() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    ana.join(&dm(bea)).await;
    let sent = ana.send_numbers(&dm(bea), 1..=5).await;
    let before = bea.history(&dm(ana), "limit=2").await;
    ana.block(bea).await;
    for [one, other] in both_ways(&users) {
        assert_eq!(one.whole_history(&dm(other)).await, sent);
        assert_eq!(seqs(&one.history(&dm(other), "limit=3").await.messages), [5, 4, 3]);
        assert_eq!(seqs(&one.history(&dm(other), "at_seq=2").await.messages), [2, 1]);
        let one_message = format!("{}/{}", messages_of(&dm(other)), text(&sent[2], "id"));
        assert_eq!(one.get(&one_message).await.expect(200), sent[2]);
        assert_eq!(one.last_seq(&dm(other)).await, 5);
        assert!(one.present(&dm(other)).await.is_empty());
    }
    let next = format!("limit=2&cursor={}", before.next_cursor.unwrap());
    assert_eq!(seqs(&bea.history(&dm(ana), &next).await.messages), [3, 2], "and cursors lead on");
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_other_direct_messages_are_not_touched() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let ([ana, bea], cleo) = (&users, app.session("cleo").await);
    for session in &users {
        session.join("room:lobby").await;
        session.join(&dm(&cleo)).await;
    }
    let (mut to_ana, mut to_bea) = (ana.stream().await, bea.stream().await);
    bea.block(ana).await;
    for session in &users {
        session.send("room:lobby", json!("still here")).await;
    }
    for stream in [&mut to_ana, &mut to_bea] {
        assert_eq!(seqs(&stream.messages(2).await), [1, 2], "and no left before");
    }
    assert_eq!(ana.present("room:lobby").await.len(), 2);
    for session in &users {
        assert_eq!(session.send(&dm(&cleo), json!("hi")).await["seq"], 1);
        session.join("room:hall").await;
        assert_eq!(cleo.whole_history(&dm(session)).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_block_is_lifted_the_dm_may_be_joined_anew_and_its_numbers_go_on() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    for [one, other] in both_ways(&users) {
        one.join(&dm(other)).await;
        one.send(&dm(other), json!("before")).await;
    }
    let mut to_bea = bea.stream().await;
    assert_eq!(seqs(&to_bea.messages(1).await), [2], "the first was there before the join");
    ana.block(bea).await;
    to_bea.next_of("left").await;
    ana.try_send(&dm(bea), json!("no")).await.refused(403);
    ana.unblock(bea).await;
    for [one, other] in both_ways(&users) {
        assert_eq!(one.try_send(&dm(other), json!("no")).await.refused(409), "not_joined", "nobody is joined by it");
        assert_eq!(one.join(&dm(other)).await["position"], 2);
    }
    for [one, other] in both_ways(&users) {
        one.send(&dm(other), json!("after")).await;
    }
    assert_eq!(seqs(&to_bea.messages(2).await), [3, 4]);
    assert_eq!(seqs(&ana.whole_history(&dm(bea)).await), [1, 2, 3, 4]);
    assert_eq!(ana.present(&dm(bea)).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_both_block_both_have_to_lift_it() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    ana.block(bea).await;
    bea.block(ana).await;
    ana.unblock(bea).await;
    expect_blocked(&[ana, bea], &users).await;
    assert_eq!((blocks_of(ana).await, blocks_of(bea).await), (vec![], vec![ana.user_id.clone()]));
    ana.unblock(bea).await;
    expect_blocked(&[ana, bea], &users).await;
    bea.unblock(ana).await;
    ana.join(&dm(bea)).await;
    ana.send(&dm(bea), json!("hi")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_away_gets_left_once_after_ready() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    let mut ids = Vec::new();
    for [one, other] in both_ways(&users) {
        one.join(&dm(other)).await;
        one.join("room:lobby").await;
        let mut stream = one.stream().await;
        stream.ready().await;
        ids.push(stream.cut());
    }
    ana.block(bea).await;
    for ([one, other], id) in both_ways(&users).into_iter().zip(ids) {
        let mut stream = one.stream_from(&id).await;
        assert_eq!(list(&stream.ready().await, "topics").len(), 1);
        let left = stream.next().await;
        assert_eq!((left.event.as_str(), &left.data["reason"]), ("left", &json!("blocked")));
        assert_eq!(left.data["topic"], one.topic(&dm(other)).await["id"]);
        one.send("room:lobby", json!("on we go")).await;
        while stream.messages(1).await[0]["sender"]["user_id"] != *one.user_id {}
        let mut again = one.stream_from(&stream.cut()).await;
        again.ready().await;
        again.expect_none_of("left", Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_gets_it_as_well() {
    let app = TestApp::start().await;
    let [ana, bea] = two(&app).await;
    bea.join(&dm(&ana)).await;
    let first = bea.poll("wait=0").await.expect(200);
    let polling = tokio::spawn({
        let (bea, mut id) = (bea.clone(), text(&first, "last_event_id").to_owned());
        async move {
            loop {
                let polled = bea.poll(&format!("wait=30&last_event_id={id}")).await.expect(200);
                let left = list(&polled, "events").iter().find(|event| event["event"] == "left");
                if let Some(left) = left {
                    return left["data"]["reason"].clone();
                }
                text(&polled, "last_event_id").clone_into(&mut id);
            }
        }
    });
    bea.until_streaming(true).await;
    ana.block(&bea).await;
    assert_eq!(timeout(DEADLINE, polling).await.expect("a poll answers at once").unwrap(), "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_still_answers_with_the_first_message() {
    let app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    ana.join(&dm(bea)).await;
    let body = json!({"content": "hi"});
    let first = ana.send_with(&dm(bea), &body, "key").await.expect(201);
    bea.block(ana).await;
    assert_eq!(ana.send_with(&dm(bea), &body, "key").await.expect(200), first);
    assert_eq!(ana.send_with(&dm(bea), &body, "another").await.refused(403), "blocked");
    assert_eq!(ana.last_seq(&dm(bea)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_outlives_the_session_and_the_instance() {
    let mut app = TestApp::start().await;
    let users = two(&app).await;
    let [ana, bea] = &users;
    ana.block(bea).await;
    ana.sign_out().await;
    app.restart().await;
    let again = [app.session("ana").await, app.session("bea").await];
    expect_blocked(&[&again[0], &again[1], bea], &again).await;
    again[0].unblock(bea).await;
    bea.join(&dm(&again[0])).await;
}

/// A service whose users an issuer names, so that their ids can be chosen.
async fn issued(subs: &[&str]) -> (TestApp, Vec<Session>) {
    let app = TestApp::with(&["--jwt-secret", SECRET]).await;
    let mut users = Vec::new();
    for sub in subs {
        users.push(Session::of_token(&app, &user_token(&claims(sub))).await);
    }
    (app, users)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_listed_in_pages_by_user_id() {
    // By bytes, whatever the database's collation.
    let ids = ["+1", ".x", "007", "@b", "Zoe", "_u", "ana.b", "bea", "|p"];
    let (_app, users) = issued(&ids).await;
    let stranger = &users[7];
    assert_eq!(stranger.get("/v1/me/blocks").await.expect(200), json!({"blocks": [], "next_cursor": null}));
    let me = &users[2];
    for at in [4, 0, 8, 3, 1, 6, 5, 7] {
        me.block(&users[at]).await;
    }
    let mut expected: Vec<Value> = users.iter().map(Session::user).collect();
    expected.remove(2);
    let mut path = "/v1/me/blocks?limit=3".to_owned();
    let (mut listed, mut times, mut pages) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        let page = me.get(&path).await.expect(200);
        assert_eq!(members(&page), ["blocks", "next_cursor"]);
        for block in list(&page, "blocks") {
            assert_eq!(members(block), ["created_at", "user"]);
            text(block, "created_at").parse::<jiff::Timestamp>().unwrap();
            times.insert(text(block, "created_at").to_owned());
            listed.push(block["user"].clone());
        }
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(list(&page, "blocks").len(), 3);
        // A change on a page that has been read already does not shift the next pages.
        me.unblock(&users[0]).await;
        stranger.get(&format!("/v1/me/blocks?cursor={}", encode(cursor))).await.refused(400);
        path = format!("/v1/me/blocks?limit=3&cursor={}", encode(cursor));
    }
    assert_eq!((listed, pages), (expected, 3));
    assert_eq!(blocks_of(stranger).await, Vec::<String>::new(), "whom others block, nobody is told");
    for query in ["limit=0", "limit=101", "limit=x", "page=2"] {
        me.get(&format!("/v1/me/blocks?{query}")).await.refused(422);
    }
    for cursor in ["garbage", "", "%21"] {
        assert_eq!(me.get(&format!("/v1/me/blocks?cursor={cursor}")).await.refused(400), "bad_cursor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_and_lifting_it_are_idempotent() {
    let app = TestApp::start().await;
    let [ana, bea] = two(&app).await;
    bea.unblock(&ana).await;
    ana.block(&bea).await;
    let first = ana.get("/v1/me/blocks").await.expect(200);
    assert_eq!(first["blocks"][0]["user"], bea.user());
    // The clock has moved on: a second block would have another time.
    let since = text(&first["blocks"][0], "created_at").to_owned();
    ana.join("room:lobby").await;
    while text(&ana.send("room:lobby", json!("tick")).await, "created_at") <= since.as_str() {}
    ana.block(&bea).await;
    assert_eq!(ana.get("/v1/me/blocks").await.expect(200), first);
    bea.unblock(&ana).await;
    assert_eq!(blocks_of(&ana).await, [bea.user_id.clone()], "that is not bea's to lift");
    ana.unblock(&bea).await;
    ana.unblock(&bea).await;
    assert!(blocks_of(&ana).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_known_other_user_can_be_blocked() {
    let (app, users) = issued(&["ana"]).await;
    let ana = &users[0];
    let too_long = "x".repeat(129);
    for (id, to_block, to_lift) in [
        ("nobody", 404, 204),
        ("~nobody", 404, 204),
        ("ana", 422, 204),
        ("a%20b", 422, 422),
        ("a%00", 422, 422),
        ("dm:ana", 422, 422),
        (&too_long, 422, 422),
    ] {
        let path = format!("/v1/me/blocks/{id}");
        let blocked = ana.call(Method::PUT, &path).send().await;
        assert_eq!(blocked.refused(to_block), if to_block == 404 { "not_found" } else { "invalid" }, "{id}");
        assert_eq!(ana.delete(&path).await.status, to_lift, "{id}");
    }
    assert!(blocks_of(ana).await.is_empty());
    for method in [Method::PUT, Method::DELETE] {
        app.call(method, "/v1/me/blocks/ana").send().await.refused(401);
    }
    app.get("/v1/me/blocks").send().await.refused(401);
    ana.post("/v1/me/blocks/nobody", &json!({})).await.refused(405);
}
