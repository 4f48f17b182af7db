//! Rooms: names, joins, leaves, who is there.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{TestApp, encode, list, members, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_exists_from_its_first_join_on() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for path in ["", "/messages", "/presences"] {
        ana.get(&format!("/v1/topics/room:lobby{path}")).await.refused(404);
    }
    ana.join("room:lobby").await;
    for path in ["", "/messages", "/presences"] {
        ana.get(&format!("/v1/topics/room:lobby{path}")).await.expect(200);
    }
    ana.leave("room:lobby").await;
    ana.get("/v1/topics/room:lobby").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_answers_with_topic_self_presences_and_position() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let first = ana.join("room:lobby").await;
    assert_eq!(members(&first), ["position", "presence_count", "presences", "self", "topic"]);
    assert_eq!(first["topic"]["id"], "room:lobby");
    assert_eq!(first["topic"]["type"], "room");
    assert_eq!(first["topic"]["last_seq"], 0);
    assert_eq!(first["position"], 0);
    assert_eq!(first["presence_count"], 1);
    assert_eq!(first["presences"], json!([first["self"]]));
    let presence = &first["self"];
    assert_eq!(members(presence), ["online_since", "session_id", "user_id", "username"]);
    assert_eq!(presence["session_id"], *ana.id);
    assert_eq!(presence["user_id"], *ana.user_id);
    assert_eq!(presence["username"], "ana");
    text(presence, "online_since").parse::<jiff::Timestamp>().unwrap();

    ana.send_numbers("room:lobby", 1..=3).await;
    let second = bea.join("room:lobby").await;
    assert_eq!(second["topic"]["last_seq"], 3);
    assert_eq!(second["position"], 3);
    assert_eq!(second["presence_count"], 2);
    assert_eq!(second["self"]["session_id"], *bea.id);
    assert!(list(&second, "presences").contains(presence), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_carries_every_entry_after_the_joins_position() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=2).await;
    assert_eq!(bea.join("room:lobby").await["position"], 2);
    ana.send_numbers("room:lobby", 3..=4).await;
    let mut stream = bea.stream().await;
    let messages = stream.messages(2).await;
    assert_eq!((number(&messages[0], "seq"), number(&messages[1], "seq")), (3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_join_moves_nothing() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=3).await;
    let again = ana.join("room:lobby").await;
    assert_eq!(again["position"], 0);
    assert_eq!(again["presence_count"], 1);
    assert_eq!(again["topic"]["last_seq"], 3);
    assert_eq!(ana.stream().await.messages(3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_takes_only_hidden_in_its_body() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.put("/v1/session/topics/room:lobby", &json!({"position": 0})).await.refused(422);
    ana.put("/v1/session/topics/room:lobby", &json!({"hidden": "yes"})).await.refused(422);
    ana.put("/v1/session/topics/room:lobby", &json!([])).await.refused(422);
    ana.get("/v1/topics/room:lobby").await.refused(404);
    ana.put("/v1/session/topics/room:lobby", &json!({})).await.expect(200);
    ana.put("/v1/session/topics/room:hall", &json!({"hidden": false})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_name_is_any_utf_8_of_1_to_128_bytes_without_control_characters() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let long = "x".repeat(128);
    let accented = "é".repeat(64);
    for name in ["a", "Lobby", "lobby", "a:b", "a/b", "../x", "50%", "q?x=1#y", "café ☕", " ", ".", &long, &accented]
    {
        let topic = format!("room:{name}");
        assert_eq!(ana.join(&topic).await["topic"]["id"], *topic, "{name:?}");
        assert_eq!(ana.send(&topic, json!(name)).await["topic"], *topic);
        assert_eq!(ana.whole_history(&topic).await.len(), 1, "{name:?} is a room of its own");
    }
    for name in ["", &"x".repeat(129), &"é".repeat(65), "a\nb", "a\0b", "\u{7f}", "\u{85}"] {
        ana.try_join(&format!("room:{name}")).await.refused_as(&[404, 422]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_id_in_a_path_may_be_percent_encoded_anywhere() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for path in ["room%3Alobby", "room%3alobby", "%72oom:lobby", "room:lobb%79"] {
        assert_eq!(ana.get(&format!("/v1/topics/{path}")).await.expect(200)["id"], "room:lobby");
    }
    for path in ["room:%FF", "room:%C3", "room:a%00"] {
        ana.get(&format!("/v1/topics/{path}")).await.refused_as(&[400, 404, 422]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_topic_is_refused() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for topic in ["lobby", "room", "hall:lobby", "Room:lobby", "group:lobby", "group:", "dm:", "dm:a:b:c"] {
        ana.try_join(topic).await.refused_as(&[404, 422]);
        ana.get(&format!("/v1/topics/{}/messages", encode(topic))).await.refused_as(&[404, 422]);
    }
    let group = format!("group:{}", uuid::Uuid::now_v7());
    ana.try_join(&group).await.refused(404);
    ana.get(&format!("/v1/topics/{group}/messages")).await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_joins_no_more_topics_than_the_service_allows() {
    let app = TestApp::with(&["--max-joins", "3"]).await;
    let ana = app.session("ana").await;
    for room in ["room:1", "room:2", "room:3", "room:3"] {
        ana.join(room).await;
    }
    ana.try_join("room:4").await.refused(409);
    ana.get("/v1/topics/room:4").await.refused(404);
    ana.join("room:1").await;
    ana.leave("room:1").await;
    ana.join("room:4").await;
    app.session("ana").await.join("room:5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_idempotent_and_ends_only_ones_own_join() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    ana.leave("room:lobby").await;
    ana.leave("room:lobby").await;
    assert_eq!(ana.try_send("room:lobby", json!(1)).await.refused(409), "not_joined");
    bea.send("room:lobby", json!(1)).await;
    assert_eq!(bea.present("room:lobby").await, [bea.id.clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_the_sessions_not_the_users() {
    let app = TestApp::start().await;
    let (phone, laptop) = (app.session("ana").await, app.session("ana").await);
    phone.join("room:lobby").await;
    assert_eq!(laptop.try_send("room:lobby", json!(1)).await.refused(409), "not_joined");
    assert_eq!(laptop.stream().await.ready().await["topics"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lists_what_it_has_joined() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let joined = async || {
        let joined = ana.get("/v1/session/topics").await.expect(200);
        let topic = |join: &Value| (text(&join["topic"], "id").to_owned(), join["hidden"] == true);
        list(&joined, "topics").iter().map(topic).collect::<BTreeSet<_>>()
    };
    assert!(joined().await.is_empty());
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
    }
    ana.join_hidden("room:c").await;
    ana.leave("room:b").await;
    assert_eq!(joined().await, [("room:a".to_owned(), false), ("room:c".to_owned(), true)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_shows_its_type_its_end_and_how_many_are_present() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    ana.join("room:lobby").await;
    bea.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=2).await;
    let topic = cleo.topic("room:lobby").await;
    assert_eq!(topic["id"], "room:lobby");
    assert_eq!(topic["type"], "room");
    assert_eq!(topic["last_seq"], 2);
    assert_eq!(topic["presence_count"], 2);
    text(&topic, "created_at").parse::<jiff::Timestamp>().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn presences_are_listed_in_pages_without_a_join() {
    let app = TestApp::start().await;
    let sessions = app.sessions("guest", 5).await;
    for session in &sessions {
        session.join("room:lobby").await;
    }
    let onlooker = app.session("onlooker").await;
    let mut seen = Vec::new();
    let mut path = "/v1/topics/room:lobby/presences?limit=2".to_owned();
    loop {
        let page = onlooker.get(&path).await.expect(200);
        let presences = list(&page, "presences");
        assert!(presences.len() <= 2, "{page}");
        for presence in presences {
            assert_eq!(members(presence), ["online_since", "session_id", "user_id", "username"]);
            seen.push(text(presence, "session_id").to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert!(!presences.is_empty(), "an empty page leads no further: {page}");
        path = format!("/v1/topics/room:lobby/presences?limit=2&cursor={}", encode(cursor));
    }
    assert_eq!(seen.len(), 5, "nobody twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sessions.iter().map(|s| s.id.clone()).collect());
    assert_eq!(onlooker.topic("room:lobby").await["presence_count"], 5, "who only looks is not there");
    for query in ["limit=0", "limit=x", "limit=-1", "limit=100000"] {
        onlooker.get(&format!("/v1/topics/room:lobby/presences?{query}")).await.refused(422);
    }
    onlooker.get("/v1/topics/room:lobby/presences?cursor=%21garbage").await.refused(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_live_through_a_restart() {
    let mut app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    bea.join_hidden("room:lobby").await;
    app.restart().await;
    let mut stream = bea.stream().await;
    ana.send("room:lobby", json!("hello again")).await;
    assert_eq!(stream.messages(1).await[0]["content"], "hello again");
    stream.expect_none_of("message", Duration::from_millis(200)).await;
    assert!(!ana.present("room:lobby").await.contains(&bea.id), "hidden stays hidden");
}
