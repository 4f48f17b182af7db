//! Edits: who may change a message's content, and where the change shows.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Reply, Session, TestApp, members, messages_of, path_of, seqs, text};

const ROOM: &str = "room:lobby";

async fn app_and_session() -> (TestApp, Session) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    (app, ana)
}

/// Edits with this body, byte for byte.
async fn edit_raw(session: &Session, message: &Value, body: impl Into<Vec<u8>>) -> Reply {
    session.call(Method::PATCH, &path_of(message)).body(body.into()).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_changes_the_message_and_is_an_entry_of_its_own() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!({"text": "helo"})).await;
    let edited = ana.edit(&sent, json!({"text": "hello"})).await;
    assert_eq!(
        members(&edited),
        ["code", "content", "created_at", "edited_at", "id", "sender", "seq", "topic"],
        "the message in its new state"
    );
    for same in ["id", "topic", "seq", "code", "sender", "created_at"] {
        assert_eq!(edited[same], sent[same], "{same}");
    }
    assert_eq!(edited["content"], json!({"text": "hello"}));
    assert_eq!(ana.read(&sent).await, edited);
    assert_eq!(ana.whole_history(ROOM).await, [edited.clone()]);

    let log = ana.whole_log(ROOM).await;
    assert_eq!((log.len(), &log[0]), (2, &edited));
    let entry = &log[1];
    assert_eq!(members(entry), members(&sent), "an entry as any other");
    assert_eq!((&entry["seq"], &entry["code"], &entry["sender"]), (&json!(2), &json!(6), &ana.user()));
    assert_eq!(entry["content"], json!({"message_id": sent["id"], "seq": 1, "content": {"text": "hello"}}));
    assert_eq!(entry["created_at"], edited["edited_at"]);
    assert_ne!(entry["id"], sent["id"]);
    assert_eq!(ana.read(entry).await, *entry, "it can be read by its own id");
    assert_eq!(ana.last_seq(ROOM).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_be_edited_again_and_says_what_the_last_edit_says() {
    let (mut app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!(0)).await;
    let mut edited_at = String::new();
    for round in 1..=5 {
        let edited = ana.edit(&sent, json!(round)).await;
        assert_eq!(edited["content"], round);
        assert!(text(&edited, "edited_at") >= edited_at.as_str());
        text(&edited, "edited_at").clone_into(&mut edited_at);
    }
    let log = ana.whole_log(ROOM).await;
    assert_eq!(seqs(&log), (1..=6).collect::<Vec<_>>());
    let said: Vec<&Value> = log[1..].iter().map(|entry| &entry["content"]["content"]).collect();
    assert_eq!(said, [&json!(1), &json!(2), &json!(3), &json!(4), &json!(5)]);
    app.restart().await;
    assert_eq!(ana.read(&sent).await["content"], 5);
    assert_eq!(ana.whole_log(ROOM).await, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_need_no_join_and_may_come_from_another_session_of_the_author() {
    let (app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("from here")).await;
    ana.leave(ROOM).await;
    ana.edit(&sent, json!("without a join")).await;
    let phone = app.session("ana").await;
    assert_eq!(phone.edit(&sent, json!("from there")).await["content"], "from there");
    assert_eq!(app.session("bea").await.present(ROOM).await, Vec::<String>::new(), "nor does an edit make a join");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entry_bears_the_name_that_its_sender_has_now_and_the_message_the_one_it_had() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("as Ana")).await;
    ana.patch("/v1/me", &json!({"username": "Anna"})).await.expect(200);
    assert_eq!(ana.edit(&sent, json!("as Anna")).await["sender"], sent["sender"]);
    assert_eq!(ana.whole_log(ROOM).await[1]["sender"], json!({"user_id": ana.user_id, "username": "Anna"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_author_edits_a_message() {
    let (app, ana) = app_and_session().await;
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    let sent = ana.send(ROOM, json!("mine")).await;
    let refused = bea.try_edit(&sent, json!("yours")).await;
    assert_eq!(refused.refused(403), "forbidden");
    assert_eq!(refused.json()["detail"], "Only its author can edit a message.");
    assert_eq!(ana.whole_log(ROOM).await, [sent], "what is refused changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_two_users_of_a_dm_edits_their_own() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let dm = ana.join(&format!("dm:{}", bea.user_id)).await["topic"]["id"].as_str().unwrap().to_owned();
    bea.join(&dm).await;
    let (hers, theirs) = (ana.send(&dm, json!("a")).await, bea.send(&dm, json!("b")).await);
    assert_eq!(ana.edit(&hers, json!("A")).await["content"], "A");
    assert_eq!(bea.edit(&theirs, json!("B")).await["content"], "B");
    assert_eq!(ana.try_edit(&theirs, json!("no")).await.refused(403), "forbidden");
    assert_eq!(bea.try_edit(&hers, json!("no")).await.refused(403), "forbidden");
    let short = format!("{}/{}", messages_of(&format!("dm:{}", bea.user_id)), text(&hers, "id"));
    ana.patch(&short, &json!({"content": "by the other name"})).await.expect(200);
    assert_eq!(cleo.try_edit(&hers, json!("no")).await.refused(404), "not_found", "to others it does not exist");
    assert_eq!(cleo.try_remove(&hers).await.refused(404), "not_found");
    assert_eq!(ana.last_seq(&dm).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_no_message_of_another_topic() {
    let (app, ana) = app_and_session().await;
    let bea = app.session("bea").await;
    ana.join("room:other").await;
    let dm = ana.join(&format!("dm:{}", bea.user_id)).await["topic"]["id"].as_str().unwrap().to_owned();
    let sent = ana.send(ROOM, json!("here")).await;
    let body = json!({"content": "there"});
    let unmade = format!("dm:{}", app.session("cleo").await.user_id);
    for topic in ["room:other", "room:nowhere", "dm:nobody", &dm, &unmade, "group:0190a5b0-7c00-7000-8000-000000000001"]
    {
        let path = format!("{}/{}", messages_of(topic), text(&sent, "id"));
        assert_eq!(ana.patch(&path, &body).await.refused(404), "not_found", "{topic}");
        assert_eq!(ana.delete(&path).await.refused(404), "not_found", "{topic}");
    }
    let unknown = format!("{}/{}", messages_of(ROOM), uuid::Uuid::now_v7());
    assert_eq!(ana.patch(&unknown, &body).await.refused(404), "not_found");
    assert_eq!(ana.delete(&unknown).await.refused(404), "not_found");
    assert_eq!(ana.whole_log(ROOM).await, [sent]);
    assert_eq!(ana.last_seq("room:other").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_a_uuid_in_lower_case() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("here")).await;
    let id = text(&sent, "id");
    for wrong in [&id.to_uppercase(), &id.replace('-', ""), "1", "garbage", &format!("{id}0"), "%00"] {
        let path = format!("{}/{wrong}", messages_of(ROOM));
        assert_eq!(ana.patch(&path, &json!({"content": 1})).await.refused(422), "invalid", "{wrong}");
        assert_eq!(ana.delete(&path).await.refused(422), "invalid", "{wrong}");
    }
    assert_eq!(ana.last_seq(ROOM).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edit_says_keeps_to_the_rules_of_what_is_sent() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("first")).await;
    let nested = |depth: usize| format!("{{\"content\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let refused = async |body: &str, status| edit_raw(&ana, &sent, body).await.refused(status);
    assert_eq!(refused(&nested(65), 422).await, "invalid");
    assert_eq!(refused("{\"content\":\"\\ud800\"}", 422).await, "invalid");
    for body in ["{}", "[1]", "{\"content\":1,\"extra\":1}", "{\"content\":1,\"ephemeral\":false}"] {
        assert_eq!(refused(body, 422).await, "invalid", "{body}");
    }
    assert_eq!(refused("{\"content\":", 400).await, "malformed_json");
    assert_eq!(refused("", 400).await, "malformed_json");
    let long = |length: usize| json!("x".repeat(length - 2));
    assert_eq!(ana.try_edit(&sent, long(16_385)).await.refused(413), "content_too_large");
    assert_eq!(ana.try_edit(&sent, json!("x".repeat(100_000))).await.refused(413), "body_too_large");
    assert_eq!(ana.whole_log(ROOM).await, [sent.clone()]);

    assert_eq!(ana.edit(&sent, long(16_384)).await["content"], long(16_384));
    assert_eq!(edit_raw(&ana, &sent, nested(64)).await.status, 200);
    assert_eq!(ana.edit(&sent, Value::Null).await["content"], Value::Null, "null is a value as any other");
    assert_eq!(members(&ana.read(&sent).await), members(&ana.edit(&sent, json!(1)).await), "and not a removal");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edit_says_comes_back_to_the_byte() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("first")).await;
    let mut stream = ana.stream_with("from=now").await;
    stream.ready().await;
    let written =
        "{ \"z\" : [1.0, 1e400,\n12345678901234567890, -0],\t\"a\":\"\\u0041\\/ \\u0000 \\ud83d\\ude00😀\", \"a\":2 }";
    let kept = "{\"z\":[1.0,1e400,12345678901234567890,-0],\"a\":\"\\u0041\\/ \\u0000 \\ud83d\\ude00😀\",\"a\":2}";
    let edited = edit_raw(&ana, &sent, format!("{{\"content\":{written}}}")).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    let message = format!("\"content\":{kept}");
    let entry = format!("\"content\":{{\"message_id\":{},\"seq\":1,\"content\":{kept}}}", sent["id"]);
    assert!(edited.text().contains(&message), "{edited:?}");
    let one = ana.get(&path_of(&sent)).await;
    assert!(one.text().contains(&message), "{one:?}");
    let log = ana.get(&format!("{}?changes=true", messages_of(ROOM))).await;
    assert!(log.text().contains(&message) && log.text().contains(&entry), "{log:?}");
    let event = stream.next_of("message").await;
    assert!(event.text.contains(&entry), "{event:?}");
    let poll = ana.poll("").await;
    assert!(poll.text().contains(&entry), "{poll:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_services_own_making_can_neither_be_edited_nor_removed() {
    let (_app, ana) = app_and_session().await;
    let (kept, gone) = (ana.send(ROOM, json!("kept")).await, ana.send(ROOM, json!("gone")).await);
    ana.edit(&kept, json!("edited")).await;
    ana.remove(&gone).await;
    let log = ana.whole_log(ROOM).await;
    assert_eq!((&log[2]["code"], &log[3]["code"]), (&json!(6), &json!(7)));
    for entry in &log[2..] {
        assert_eq!(ana.try_edit(entry, json!("no")).await.refused(403), "forbidden");
        assert_eq!(ana.try_remove(entry).await.refused(403), "forbidden");
    }
    assert_eq!(ana.whole_log(ROOM).await, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_ended_edits_and_removes_nothing() {
    let (app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!("here")).await;
    ana.sign_out().await;
    assert_eq!(ana.try_edit(&sent, json!("no")).await.refused(401), "unauthenticated");
    assert_eq!(ana.try_remove(&sent).await.refused(401), "unauthenticated");
    let bare = app.call(Method::PATCH, &path_of(&sent)).json(&json!({"content": 1})).send().await;
    assert_eq!(bare.refused(401), "unauthenticated");
    assert_eq!(app.session("bea").await.whole_log(ROOM).await, [sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_removals_count_as_sends() {
    let app = TestApp::alone(&["--rate-sends", "4/h"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    bea.join(ROOM).await;
    let (first, second) = (ana.send(ROOM, json!(1)).await, ana.send(ROOM, json!(2)).await);
    ana.edit(&first, json!("edited")).await;
    ana.remove(&second).await;
    assert_eq!(ana.try_edit(&first, json!("again")).await.refused(429), "rate_limited");
    assert_eq!(ana.try_remove(&first).await.refused(429), "rate_limited");
    assert_eq!(ana.try_send(ROOM, json!(3)).await.refused(429), "rate_limited");
    assert_eq!(ana.read(&first).await["content"], "edited", "what is refused changes nothing");
    bea.send(ROOM, json!("another session's rate is its own")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_answers_with_the_message_as_it_is_now() {
    let (_app, ana) = app_and_session().await;
    let body = json!({"content": "once"});
    let sent = ana.send_with(ROOM, &body, "key").await.expect(201);
    let edited = ana.edit(&sent, json!("edited")).await;
    assert_eq!(ana.send_with(ROOM, &body, "key").await.expect(200), edited);
    let other = ana.send_with(ROOM, &json!({"content": "edited"}), "key").await;
    assert_eq!(other.refused(422), "idempotency_key_reused", "the body is that of the send");
    assert_eq!(ana.last_seq(ROOM).await, 2);
}
