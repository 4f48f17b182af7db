//! Direct messages: one topic for two users, which does not exist for anybody else.

use serde_json::json;

use crate::support::{SECRET, Session, TestApp, claims, encode, messages_of, user_token};

/// A service whose users an issuer names, so that their ids can be chosen.
async fn app_and_users<const N: usize>(subs: [&str; N]) -> (TestApp, [Session; N]) {
    let app = TestApp::with(&["--jwt-secret", SECRET]).await;
    let mut users = Vec::with_capacity(N);
    for sub in subs {
        users.push(Session::of_token(&app, &user_token(&claims(sub))).await);
    }
    let users = users.try_into().unwrap_or_else(|_| unreachable!("as many users as subs"));
    (app, users)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_has_one_id_that_both_sides_see_with_the_smaller_user_first() {
    let (_app, [ana, bea]) = app_and_users(["ana", "bea"]).await;
    assert_eq!(ana.join("dm:bea").await["topic"]["id"], "dm:ana:bea");
    assert_eq!(bea.join("dm:ana").await["topic"]["id"], "dm:ana:bea");
    let sent = ana.send("dm:bea", json!("hi")).await;
    assert_eq!(sent["topic"], "dm:ana:bea");
    assert_eq!(bea.whole_history("dm:ana").await, [sent.clone()]);
    assert_eq!(bea.whole_history("dm:ana:bea").await, [sent]);
    let topic = ana.topic("dm:bea").await;
    assert_eq!((&topic["id"], &topic["type"]), (&json!("dm:ana:bea"), &json!("dm")));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_ordered_by_bytes_whatever_the_databases_collation() {
    // By bytes: + < . < 0 < = < @ < Z < _ < a < | and a prefix before what it begins.
    let order = ["+1", ".x", "007", "=e", "@b", "Zoe", "_u", "ana", "ana.b", "anab", "|p"];
    let (_app, users) = app_and_users(order).await;
    for (at, one) in users.iter().enumerate() {
        for other in &users[at + 1..] {
            let id = format!("dm:{}:{}", one.user_id, other.user_id);
            assert_eq!(other.topic(&format!("dm:{}", one.user_id)).await["id"], *id);
            assert_eq!(one.topic(&id).await["id"], *id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_exists_for_two_known_users_with_an_empty_history() {
    let (_app, [ana, bea]) = app_and_users(["ana", "auth0|b+c=d@example.org"]).await;
    let dm = format!("dm:{}", bea.user_id);
    let topic = ana.topic(&dm).await;
    assert_eq!(topic["last_seq"], 0);
    assert!(ana.whole_history(&dm).await.is_empty());
    assert_eq!(ana.present(&dm).await, Vec::<String>::new());
    ana.join(&dm).await;
    assert_eq!(ana.send(&dm, json!("hi")).await["seq"], 1);
    assert_eq!(bea.last_seq("dm:ana").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_refused_makes_no_dm() {
    let app = TestApp::with(&["--jwt-secret", SECRET, "--max-joins", "1"]).await;
    let ana = Session::of_token(&app, &user_token(&claims("ana"))).await;
    Session::of_token(&app, &user_token(&claims("bea"))).await;
    ana.join("room:lobby").await;
    assert_eq!(ana.try_join("dm:bea").await.refused(409), "too_many_joins");
    assert_eq!(ana.topic("dm:bea").await["created_at"], json!(null));
    ana.leave("room:lobby").await;
    ana.join("dm:bea").await;
    assert!(ana.topic("dm:bea").await["created_at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_of_built_in_accounts_works_as_well() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let joined = ana.join(&format!("dm:{}", bea.user_id)).await;
    let (first, second) = if ana.user_id < bea.user_id { (&ana, &bea) } else { (&bea, &ana) };
    assert_eq!(joined["topic"]["id"], format!("dm:{}:{}", first.user_id, second.user_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_with_oneself_is_422_and_with_an_unknown_user_404() {
    let (_app, [ana]) = app_and_users(["ana"]).await;
    for (topic, status) in [("dm:ana", 422), ("dm:ana:ana", 422), ("dm:nobody", 404), ("dm:ana:nobody", 404)] {
        assert_eq!(ana.try_join(topic).await.status, status, "{topic}");
        assert_eq!(ana.get(&format!("/v1/topics/{topic}")).await.status, status, "{topic}");
        assert_eq!(ana.get(&messages_of(topic)).await.status, status, "{topic}");
        assert_eq!(ana.try_send(topic, json!(1)).await.status, status, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_third_party_a_dm_does_not_exist() {
    let (_app, [ana, bea, cleo]) = app_and_users(["ana", "bea", "cleo"]).await;
    for session in [&ana, &bea] {
        session.join("dm:ana:bea").await;
    }
    let sent = ana.send("dm:bea", json!("between us")).await;
    let message = format!("{}/{}", messages_of("dm:ana:bea"), sent["id"].as_str().unwrap());
    let theirs = cleo.try_join("dm:ana:bea").await.refused(404);
    let nobodys = cleo.try_join("dm:ana:nobody").await.refused(404);
    assert_eq!(theirs, nobodys, "what must not be seen answers as what does not exist");
    cleo.try_send("dm:ana:bea", json!("me too")).await.refused(404);
    for path in ["/v1/topics/dm:ana:bea", "/v1/topics/dm:ana:bea/messages", "/v1/topics/dm:ana:bea/presences", &message]
    {
        cleo.get(path).await.refused(404);
    }
    // A message of another topic is unknown in one's own topic, too.
    let foreign = format!("{}/{}", messages_of("dm:ana"), sent["id"].as_str().unwrap());
    cleo.get(&foreign).await.refused(404);
    assert_eq!(ana.last_seq("dm:bea").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_dm_get_its_messages_and_see_each_other() {
    let (_app, [ana, bea]) = app_and_users(["ana", "bea"]).await;
    ana.join("dm:bea").await;
    assert_eq!(bea.join("dm:ana").await["presence_count"], 2);
    let (mut to_ana, mut to_bea) = (ana.stream().await, bea.stream().await);
    let sent = [ana.send("dm:bea", json!("hi")).await, bea.send("dm:ana", json!("hello")).await];
    assert_eq!(to_ana.messages(2).await, sent);
    assert_eq!(to_bea.messages(2).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_needs_a_join_to_send_and_is_left_under_either_id() {
    let (_app, [ana, bea]) = app_and_users(["ana", "bea"]).await;
    assert_eq!(ana.try_send("dm:bea", json!(1)).await.refused(409), "not_joined");
    ana.join("dm:ana:bea").await;
    bea.join("dm:ana").await;
    let mut stream = ana.stream().await;
    assert_eq!(stream.ready().await["topics"], json!([{"topic": "dm:ana:bea", "position": 0}]));
    ana.leave("dm:bea").await;
    assert_eq!(stream.next_of("left").await.data, json!({"topic": "dm:ana:bea", "reason": "left"}));
    assert_eq!(ana.try_send("dm:bea", json!(1)).await.refused(409), "not_joined");
    let encoded = format!("/v1/topics/{}", encode("dm:ana:bea").replace(':', "%3A"));
    assert_eq!(bea.get(&encoded).await.expect(200)["id"], "dm:ana:bea");
}
