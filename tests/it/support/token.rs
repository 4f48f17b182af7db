//! User tokens, as an issuer would sign them, and as a forger would.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The issuer's secret in the tests that configure one.
pub(crate) const SECRET: &str = "a secret for tests, of no use elsewhere";

/// The claims of a token that is good for an hour.
pub(crate) fn claims(sub: &str) -> Value {
    json!({"sub": sub, "name": format!("Name of {sub}"), "exp": jiff::Timestamp::now().as_second() + 3_600})
}

pub(crate) fn user_token(claims: &Value) -> String {
    signed(claims, Algorithm::HS256, SECRET)
}

pub(crate) fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// A token whose header says that it needs no signature.
pub(crate) fn unsigned(claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}
