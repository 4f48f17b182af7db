//! Sessions: how they open, what they hold, how they end.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Api, DEADLINE, Reply, Session, TestApp, list, members, text};

async fn open(app: &Api, body: Value) -> Reply {
    app.post("/v1/sessions").json(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_id_opens_a_session_of_a_built_in_account() {
    let app = TestApp::start().await;
    let reply = open(&app, json!({"device_id": "0123456789abcdef", "username": "Ana"})).await;
    let answer = reply.expect(201);
    assert_eq!(members(&answer), ["events_url", "session", "stream_token", "token"]);
    let session = &answer["session"];
    assert_eq!(members(session), ["created_at", "expires_at", "id", "user"]);
    assert_eq!(members(&session["user"]), ["user_id", "username"]);
    assert_eq!(session["user"]["username"], "Ana");
    assert!(text(&session["user"], "user_id").starts_with('~'), "{answer}");
    let id: uuid::Uuid = text(session, "id").parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let times = ["created_at", "expires_at"].map(|name| {
        let time = text(session, name);
        assert_eq!(time.len(), "2026-01-02T03:04:05.678Z".len(), "{time}");
        assert!(time.ends_with('Z'), "{time}");
        time.parse::<jiff::Timestamp>().unwrap()
    });
    assert_eq!(times[1].duration_since(times[0]), jiff::SignedDuration::from_hours(24), "the default life is 24 h");
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_url_is_a_path_that_opens_the_stream() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    assert_eq!(ana.events_url, format!("/v1/session/events?access_token={}", ana.stream_token));
    assert_eq!(ana.stream().await.ready().await["session_id"], *ana.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_device_id_is_the_same_user_in_another_session() {
    let app = TestApp::start().await;
    let (one, two) = (app.session("ana").await, app.session("ana").await);
    assert_eq!(one.user_id, two.user_id);
    assert_ne!(one.id, two.id);
    assert_ne!(app.session("bea").await.user_id, one.user_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_id_is_a_password_and_shows_nowhere() {
    let app = TestApp::start().await;
    let device_id = "correct horse battery staple";
    let reply = open(&app, json!({"device_id": device_id, "username": "ana"})).await;
    let ana = Session::of_answer(&app, &reply.expect(201));
    assert!(!reply.text().contains(device_id), "{reply:?}");
    assert!(!ana.get("/v1/session").await.text().contains(device_id));
    // The user id does not open the account either.
    let forged = open(&app, json!({"device_id": format!("{:x<16}", ana.user_id)})).await;
    assert_ne!(text(&forged.expect(201)["session"]["user"], "user_id"), ana.user_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_username_is_optional_and_not_unique() {
    let app = TestApp::start().await;
    let nameless = open(&app, json!({"device_id": "a device without a name"})).await.expect(201);
    assert!(!text(&nameless["session"]["user"], "username").is_empty());
    let one = open(&app, json!({"device_id": "the first of two devices", "username": "ana"})).await.expect(201);
    let two = open(&app, json!({"device_id": "the second of two devices", "username": "ana"})).await.expect(201);
    assert_eq!(one["session"]["user"]["username"], two["session"]["user"]["username"]);
    assert_ne!(one["session"]["user"]["user_id"], two["session"]["user"]["user_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_id_has_16_to_128_characters_and_a_username_1_to_64() {
    let app = TestApp::start().await;
    for (device, name, status) in [
        ("x".repeat(15), "ana".to_owned(), 422),
        ("x".repeat(16), "ana".to_owned(), 201),
        ("y".repeat(128), "ana".to_owned(), 201),
        ("y".repeat(129), "ana".to_owned(), 422),
        ("z".repeat(20), String::new(), 422),
        ("z".repeat(20), "é".repeat(64), 201),
        ("z".repeat(20), "é".repeat(65), 422),
        ("z".repeat(20), "tab\there".to_owned(), 422),
        ("z".repeat(20), "nul\0here".to_owned(), 422),
        ("z".repeat(20), "next\u{85}line".to_owned(), 422),
    ] {
        let reply = open(&app, json!({"device_id": device, "username": name})).await;
        assert_eq!(reply.status, status, "{device:?} {name:?}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_shows_itself_its_topics_and_whether_its_stream_is_open() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let before = ana.get("/v1/session").await.expect(200);
    ana.join("room:lobby").await;
    let joined = ana.get("/v1/session").await;
    assert_eq!(members(&before), ["session", "stream_open", "topics"]);
    assert_eq!(before["session"]["id"], *ana.id);
    assert_eq!(before["session"]["user"], ana.user());
    assert_eq!((&before["topics"], &before["stream_open"]), (&json!([]), &json!(false)));
    assert_eq!(joined.json()["topics"][0]["topic"]["id"], "room:lobby");
    let mut stream = ana.stream().await;
    stream.ready().await;
    let streaming = ana.get("/v1/session").await;
    assert_eq!(streaming.expect(200)["stream_open"], true);
    for secret in [&ana.token, &ana.stream_token] {
        assert!(!streaming.text().contains(secret), "tokens are shown only where they are made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_gives_new_tokens_and_changes_nothing_else() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    bea.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    stream.next_of("presence_state").await;

    let reply = ana.call(Method::POST, "/v1/session/refresh").send().await;
    let again = Session::of_answer(&app, &reply.expect(200));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!((&again.id, &again.user_id), (&ana.id, &ana.user_id));

    stream.expect_silence(Duration::from_millis(300)).await;
    bea.send("room:lobby", json!("still here?")).await;
    assert_eq!(stream.messages(1).await[0]["content"], "still here?");
    again.send("room:lobby", json!("still joined")).await;
    assert_eq!(stream.messages(1).await[0]["content"], "still joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_lives_as_long_as_its_session_refreshed_or_not() {
    let app = TestApp::with(&["--session-ttl", "6s"]).await;
    let ana = app.session("ana").await;
    let mut refreshed = ana.clone();
    let since = Instant::now();
    while ana.get("/v1/session").await.status == 200 {
        assert!(since.elapsed() < DEADLINE, "a token ends with its time, though its session lives on");
        sleep(Duration::from_millis(300)).await;
        let answer = refreshed.call(Method::POST, "/v1/session/refresh").send().await.expect(200);
        refreshed = Session::of_answer(&app, &answer);
    }
    assert!(!ana.get("/v1/session").await.refused(401).is_empty());
    ana.stream().await.ready().await;
    refreshed.stream().await.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_ends_its_stream_and_answers_204_to_its_eventsource() {
    let app = TestApp::with(&["--session-ttl", "5s"]).await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    stream.bye("expired").await;
    app.get(&ana.events_url).send().await.expect(204);
    ana.get("/v1/session").await.refused(401);
    ana.call(Method::POST, "/v1/session/refresh").send().await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_revokes_every_token_ends_the_stream_and_leaves_every_topic() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let mut stream = ana.stream().await;
    stream.ready().await;
    ana.sign_out().await;

    let bye = stream.bye("signed_out").await;
    assert_eq!(bye.data["reconnect"], false);
    for path in ["/v1/session", "/v1/me", "/v1/me/sessions", "/v1/topics/room:lobby/messages"] {
        ana.get(path).await.refused(401);
    }
    ana.try_send("room:lobby", json!("no more")).await.refused(401);
    ana.delete("/v1/session").await.refused(401);
    app.get(&ana.events_url).send().await.expect(204);
    assert_eq!(bea.present("room:lobby").await, [bea.id.clone()], "no grace for who signs out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_their_sessions_on_all_devices_and_ends_one() {
    let app = TestApp::start().await;
    let (phone, laptop, bea) = (app.session("ana").await, app.session("ana").await, app.session("bea").await);
    let shown = phone.get("/v1/me/sessions").await;
    assert_eq!(list(&shown.expect(200), "sessions").len(), 2, "{shown:?}");
    assert!(shown.text().contains(&phone.id) && shown.text().contains(&laptop.id), "{shown:?}");
    assert!(shown.json().get("next_cursor").is_some(), "{shown:?}");

    laptop.join("room:lobby").await;
    let mut stream = laptop.stream().await;
    stream.ready().await;
    phone.delete(&format!("/v1/me/sessions/{}", laptop.id)).await.expect(204);
    stream.bye("signed_out").await;
    laptop.get("/v1/session").await.refused(401);
    assert_eq!(list(&phone.get("/v1/me/sessions").await.expect(200), "sessions").len(), 1);

    phone.delete(&format!("/v1/me/sessions/{}", bea.id)).await.refused(404);
    bea.get("/v1/session").await.expect(200);
    phone.delete(&format!("/v1/me/sessions/{}", uuid::Uuid::now_v7())).await.refused(404);
    phone.delete("/v1/me/sessions/garbage").await.refused_as(&[404, 422]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_through_a_restart() {
    let mut app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let gone = app.session("gone").await;
    gone.sign_out().await;
    app.restart().await;
    ana.send("room:lobby", json!("as if nothing had been")).await;
    assert_eq!(app.session("ana").await.user_id, ana.user_id, "the device id is still the account");
    gone.get("/v1/session").await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_there_is_401() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let (head, signature) = ana.token.rsplit_once('.').expect("a token in parts");
    let altered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for authorization in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer garbage".to_owned(),
        "Bearer a.b.c".to_owned(),
        format!("Bearer {altered}"),
        format!("Bearer {}", &ana.token[1..]),
        format!("Basic {}", ana.token),
        ana.token.clone(),
    ] {
        let reply = app.get("/v1/session").header("authorization", &authorization).send().await;
        assert_eq!(reply.status, 401, "{authorization}: {reply:?}");
    }
    app.get("/v1/session").send().await.refused(401);
    app.get("/v1/session/events").send().await.refused(401);
    app.get("/v1/session/events?access_token=garbage").send().await.refused(401);
    // The name of the scheme is case-insensitive (RFC 9110 §11.1).
    app.get("/v1/session").header("authorization", &format!("bearer {}", ana.token)).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_opens_the_stream_and_nothing_else() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    for path in ["/v1/session", "/v1/me", "/v1/topics/room:lobby", "/v1/topics/room:lobby/messages"] {
        app.get(path).bearer(&ana.stream_token).send().await.refused(401);
    }
    app.call(Method::DELETE, "/v1/session").bearer(&ana.stream_token).send().await.refused(401);
    let send = app.post("/v1/topics/room:lobby/messages").bearer(&ana.stream_token);
    send.json(&json!({"content": 1})).send().await.refused(401);
    app.post("/v1/session/refresh").bearer(&ana.stream_token).send().await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_carries_a_stream_token_to_the_stream_and_no_other_token_anywhere() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    app.get(&format!("/v1/session/events?access_token={}", ana.token)).send().await.refused(401);
    for token in [&ana.token, &ana.stream_token] {
        app.get(&format!("/v1/session?access_token={token}")).send().await.refused(401);
        app.get(&format!("/v1/me?access_token={token}")).send().await.refused(401);
    }
    let by_header = app.get("/v1/session/events").bearer(&ana.token).header("accept", "text/event-stream").open().await;
    assert_eq!(by_header.status(), 200, "a client that sets headers needs no stream token");
}
