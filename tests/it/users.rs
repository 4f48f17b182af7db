//! Users: their profile, and the tokens of an issuer that speak for them.

use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Reply, SECRET, Session, TestApp, claims, encode, signed, text, unsigned, user_token};

const ISSUER: [&str; 2] = ["--jwt-secret", SECRET];

async fn open(app: &Api, token: &str) -> Reply {
    app.post("/v1/sessions").bearer(token).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_reads_and_renames_themselves() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    assert_eq!(ana.get("/v1/me").await.expect(200), ana.user());
    assert_eq!(bea.get(&format!("/v1/users/{}", encode(&ana.user_id))).await.expect(200), ana.user());

    let renamed = json!({"user_id": ana.user_id, "username": "Ana María ☕"});
    assert_eq!(ana.patch("/v1/me", &json!({"username": "Ana María ☕"})).await.expect(200), renamed);
    assert_eq!(ana.get("/v1/me").await.expect(200), renamed);
    assert_eq!(bea.get(&format!("/v1/users/{}", encode(&ana.user_id))).await.expect(200), renamed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_username_has_1_to_64_characters_and_no_control_characters() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for name in [json!(""), json!("x".repeat(65)), json!("a\nb"), json!("a\u{7f}"), json!(7), json!(["ana"])] {
        let reply = ana.patch("/v1/me", &json!({"username": name})).await;
        assert_eq!(reply.status, 422, "{name}: {reply:?}");
    }
    ana.patch("/v1/me", &json!({"username": "bea", "user_id": "bea"})).await.refused(422);
    assert_eq!(ana.get("/v1/me").await.expect(200), ana.user(), "what was refused has changed nothing");
    for name in ["x".to_owned(), "日".repeat(64)] {
        ana.patch("/v1/me", &json!({"username": name})).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_the_name_they_were_sent_under() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!("as ana")).await;
    ana.patch("/v1/me", &json!({"username": "anabel"})).await.expect(200);
    ana.send("room:lobby", json!("as anabel")).await;
    let history = ana.whole_history("room:lobby").await;
    assert_eq!(history[0]["sender"]["username"], "ana");
    assert_eq!(history[1]["sender"]["username"], "anabel");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_404() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for id in ["nobody", "~nobody", "a%20b", "%00", &"x".repeat(129)] {
        ana.get(&format!("/v1/users/{id}")).await.refused_as(&[404, 422]);
    }
    ana.get("/v1/users/nobody").await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_token_opens_a_session_of_its_sub() {
    let app = TestApp::with(&ISSUER).await;
    let ana = Session::of_token(&app, &user_token(&claims("ana"))).await;
    assert_eq!(ana.user(), json!({"user_id": "ana", "username": "Name of ana"}));
    let again = Session::of_token(&app, &user_token(&claims("ana"))).await;
    assert_eq!(again.user_id, "ana");
    assert_ne!(again.id, ana.id);

    let mut nameless = claims("bea");
    nameless.as_object_mut().unwrap().remove("name");
    let bea = Session::of_token(&app, &user_token(&nameless)).await;
    assert_eq!(bea.user_id, "bea");
    assert!(!bea.username.is_empty());
    let reply = open(&app, &user_token(&claims("cleo"))).await;
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_has_1_to_128_characters_of_the_alphabet_of_user_ids() {
    let app = TestApp::with(&ISSUER).await;
    for sub in ["a", "A9._@|~+=-z", "auth0|64b1f2", "ana@example.org", &"x".repeat(128)] {
        let session = Session::of_token(&app, &user_token(&claims(sub))).await;
        assert_eq!(session.user_id, sub);
        assert_eq!(session.get(&format!("/v1/users/{}", encode(sub))).await.expect(200), session.user());
    }
    for sub in ["", "a b", "a/b", "a:b", "ána", "a\nb", &"x".repeat(129)] {
        open(&app, &user_token(&claims(sub))).await.refused_as(&[401, 422]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_that_looks_like_a_built_in_account_is_refused() {
    let app = TestApp::with(&ISSUER).await;
    open(&app, &user_token(&claims("~ana"))).await.refused_as(&[401, 403, 422]);
    Session::of_token(&app, &user_token(&claims("ana~"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_token_that_the_issuer_has_not_signed_is_refused() {
    let app = TestApp::with(&ISSUER).await;
    let good = user_token(&claims("ana"));
    let (_, signature) = good.rsplit_once('.').unwrap();
    let mut expired = claims("ana");
    expired["exp"] = json!(jiff::Timestamp::now().as_second() - 120);
    let mut early = claims("ana");
    early["nbf"] = json!(jiff::Timestamp::now().as_second() + 600);
    let mut endless = claims("ana");
    endless.as_object_mut().unwrap().remove("exp");
    let mut subless = claims("ana");
    subless.as_object_mut().unwrap().remove("sub");
    for (why, token) in [
        ("unsigned", unsigned(&claims("ana"), "")),
        ("unsigned, with a signature", unsigned(&claims("ana"), signature)),
        ("another secret", signed(&claims("ana"), Algorithm::HS256, "another secret of thirty-two bytes and more")),
        ("another algorithm", signed(&claims("ana"), Algorithm::HS512, SECRET)),
        ("another algorithm", signed(&claims("ana"), Algorithm::HS384, SECRET)),
        ("expired", user_token(&expired)),
        ("not yet good", user_token(&early)),
        ("without exp", user_token(&endless)),
        ("without sub", user_token(&subless)),
        ("garbage", "garbage".to_owned()),
        ("too short", good[..good.len() - 4].to_owned()),
    ] {
        let reply = open(&app, &token).await;
        assert_eq!(reply.status, 401, "{why}: {reply:?}");
    }
    open(&app, &good).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_issuer_and_audience_are_set_a_token_must_name_them() {
    let settings = ["--jwt-secret", SECRET, "--jwt-issuer", "https://login.example", "--jwt-audience", "parlour"];
    let app = TestApp::with(&settings).await;
    let mut named = claims("ana");
    named["iss"] = json!("https://login.example");
    named["aud"] = json!("parlour");
    open(&app, &user_token(&named)).await.expect(201);
    for (name, value) in [("iss", json!("https://other.example")), ("aud", json!("other")), ("iss", Value::Null)] {
        let mut other = named.clone();
        other[name] = value;
        open(&app, &user_token(&other)).await.refused(401);
    }
    for name in ["iss", "aud"] {
        let mut without = named.clone();
        without.as_object_mut().unwrap().remove(name);
        open(&app, &user_token(&without)).await.refused(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_is_no_user_token_and_the_other_way_round() {
    let app = TestApp::with(&ISSUER).await;
    let token = user_token(&claims("ana"));
    let ana = Session::of_token(&app, &token).await;
    open(&app, &ana.token).await.refused(401);
    open(&app, &ana.stream_token).await.refused(401);
    app.get("/v1/session").bearer(&token).send().await.refused(401);
    app.get(&format!("/v1/session/events?access_token={token}")).send().await.refused(401);
    app.post("/v1/session/refresh").bearer(&token).json(&json!({"user_token": token})).send().await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_issuer_there_are_no_built_in_accounts_and_without_one_no_user_tokens() {
    let app = TestApp::with(&ISSUER).await;
    let device = json!({"device_id": "0123456789abcdef"});
    app.post("/v1/sessions").json(&device).send().await.refused_as(&[401, 403]);
    app.post("/v1/sessions").send().await.refused_as(&[401, 422]);
    let app = TestApp::start().await;
    open(&app, &user_token(&claims("ana"))).await.refused(401);
    open(&app, &unsigned(&claims("ana"), "")).await.refused(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuers_user_refreshes_with_a_fresh_user_token_of_their_own() {
    let app = TestApp::with(&ISSUER).await;
    let ana = Session::of_token(&app, &user_token(&claims("ana"))).await;
    let refresh = |body: Value| ana.call(Method::POST, "/v1/session/refresh").json(&body).send();
    let mut expired = claims("ana");
    expired["exp"] = json!(jiff::Timestamp::now().as_second() - 120);

    let answer = refresh(json!({"user_token": user_token(&claims("ana"))})).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(Session::of_answer(&app, &answer.expect(200)).id, ana.id);
    refresh(json!({})).await.refused_as(&[401, 422]);
    refresh(json!({"user_token": user_token(&expired)})).await.refused_as(&[401, 422]);
    refresh(json!({"user_token": unsigned(&claims("ana"), "")})).await.refused_as(&[401, 422]);
    refresh(json!({"user_token": user_token(&claims("bea"))})).await.refused_as(&[401, 403, 422]);
    refresh(json!({"user_token": user_token(&claims("ana")), "extra": 1})).await.refused(422);
    assert_eq!(text(&ana.get("/v1/me").await.expect(200), "user_id"), "ana");
}
