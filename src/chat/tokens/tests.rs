//! Tests of the checks on user tokens. `key_sets` tests how the keys of an issuer are found.

mod key_sets;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::chat::ChatError;
use crate::config::Config;
use crate::model::{Millis, UserId};

const SECRET: &str = "the secret of a login, 32+ bytes";
const NOW: Millis = Millis(1_700_000_000_500);
const IN_AN_HOUR: i64 = 1_700_003_600;

fn by_secret(flags: &[&str]) -> UserTokens {
    let flags = [&["--jwt-secret", SECRET], flags].concat();
    UserTokens::from_config(&Config::from_flags(flags).expect("a configuration")).expect("keys")
}

fn sign(algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, key).expect("signs")
}

fn by_login(claims: &Value) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), None, claims)
}

fn ana() -> Value {
    json!({"sub": "ana", "exp": IN_AN_HOUR})
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, ChatError>, why: &str) {
    match outcome {
        Err(ChatError::Unauthenticated(sentence)) => assert!(sentence.contains(why), "{sentence}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_user_token_says_who_somebody_is() {
    let token = by_login(&json!({"sub": "ana", "name": "Ana", "exp": 1_700_003_600.25, "aud": "whoever", "x": [1]}));
    let user = by_secret(&[]).verify(&token, NOW).await.expect("holds");
    assert_eq!((user.user_id.as_str(), user.name.as_deref()), ("ana", Some("Ana")));
    assert_eq!(user.expires_at, Millis(1_700_003_600_250));
}

#[tokio::test]
async fn a_name_that_cannot_be_one_is_ignored() {
    let names = [json!(""), json!("a\nb"), json!("x".repeat(65)), json!(7), json!(null), json!({"first": "Ana"})];
    for name in names {
        let token = by_login(&json!({"sub": "ana", "name": name, "exp": IN_AN_HOUR}));
        assert_eq!(by_secret(&[]).verify(&token, NOW).await.expect("holds").name, None, "{name}");
    }
}

#[tokio::test]
async fn times_are_judged_with_five_seconds_of_leeway() {
    let second = NOW.0 / 1000;
    let cases = [
        (json!({"sub": "ana", "exp": second - 4}), None),
        (json!({"sub": "ana", "exp": second - 6}), Some("expired")),
        (json!({"sub": "ana", "exp": -1}), Some("lacks")),
        (json!({"sub": "ana"}), Some("lacks")),
        (json!({"sub": "ana", "exp": "soon"}), Some("lacks")),
        (json!({"sub": "ana", "exp": IN_AN_HOUR, "nbf": second + 4}), None),
        (json!({"sub": "ana", "exp": IN_AN_HOUR, "nbf": second + 60}), Some("not valid yet")),
    ];
    for (claims, refused) in cases {
        let outcome = by_secret(&[]).verify(&by_login(&claims), NOW).await;
        match refused {
            Some(why) => assert_refused(outcome, why),
            None => assert!(outcome.is_ok(), "{claims}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_subject_that_cannot_be_a_user_is_refused() {
    for sub in ["", "~device", "a b", "ä", &"x".repeat(129)] {
        let token = by_login(&json!({"sub": sub, "exp": IN_AN_HOUR}));
        assert_refused(by_secret(&[]).verify(&token, NOW).await, "cannot be a user's id");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_demanded_where_they_are_configured() {
    let tokens = by_secret(&["--jwt-issuer", "https://login.example", "--jwt-audience", "chat"]);
    let with = |iss: Value, aud: Value| by_login(&json!({"sub": "ana", "exp": IN_AN_HOUR, "iss": iss, "aud": aud}));
    let iss = json!("https://login.example");
    assert!(tokens.verify(&with(iss.clone(), json!("chat")), NOW).await.is_ok());
    assert!(tokens.verify(&with(iss.clone(), json!(["mail", "chat"])), NOW).await.is_ok());
    let wrong = [
        with(iss.clone(), json!("mail")),
        with(iss.clone(), json!(null)),
        with(iss.clone(), json!([])),
        with(iss, json!({"chat": 1})),
        with(json!("https://evil.example"), json!("chat")),
        with(json!(null), json!("chat")),
        with(json!(1), json!("chat")),
        by_login(&ana()),
    ];
    for token in wrong {
        assert_refused(tokens.verify(&token, NOW).await, "not signed by this service's issuer");
    }
}

#[tokio::test]
async fn only_hs256_with_the_secret_is_believed() {
    let tokens = by_secret(&[]);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_refused(tokens.verify(&sign(algorithm, &key, None, &ana()), NOW).await, "a key that its issuer");
    }
    let foreign = EncodingKey::from_secret(b"the secret of somebody else, 32+");
    assert_refused(tokens.verify(&sign(Algorithm::HS256, &foreign, None, &ana()), NOW).await, "not signed");

    let payload = URL_SAFE_NO_PAD.encode(ana().to_string());
    for algorithm in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "typ": "JWT"}).to_string());
        assert_refused(tokens.verify(&format!("{header}.{payload}."), NOW).await, "no user token");
    }
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::HS256) };
    assert_refused(tokens.verify(&encode(&critical, &ana(), &key).expect("signs"), NOW).await, "no user token");
    for garbage in ["", "a.b.c", "ana", &"x".repeat(100_000)] {
        assert_refused(tokens.verify(garbage, NOW).await, "no user token");
    }
}

#[tokio::test]
async fn without_an_issuer_no_user_token_is_taken() {
    let tokens = UserTokens::from_config(&Config::from_flags([""; 0]).expect("defaults")).expect("no keys");
    assert_refused(tokens.verify(&by_login(&ana()), NOW).await, "takes no user tokens");
}

#[tokio::test]
async fn a_minted_token_is_one_that_the_service_takes() {
    let flags = ["--jwt-secret", SECRET, "--jwt-issuer", "me", "--jwt-audience", "chat"];
    let config = Config::from_flags(flags).expect("a configuration");
    let user = UserId::parse("ana").expect("an id");
    let token = mint_user_token(&config, &user, Some("Ana"), Duration::from_secs(60), NOW).expect("signs");
    let verified = UserTokens::from_config(&config).expect("keys").verify(&token, NOW).await.expect("holds");
    assert_eq!((verified.user_id, verified.name.as_deref()), (user.clone(), Some("Ana")));

    let keyless = Config::from_flags([""; 0]).expect("defaults");
    let refusal = mint_user_token(&keyless, &user, None, Duration::from_secs(60), NOW).expect_err("no secret");
    assert!(refusal.to_string().starts_with("PARLOUR_JWT_SECRET is not set"));
}
