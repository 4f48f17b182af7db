//! The service's own tokens: a session token authorizes the calls of a session, a stream token opens its stream and
//! nothing else. They are JWTs (RFC 7519, HS256). Only this service reads them, so exactly one header is accepted, byte for
//! byte: a token cannot choose its algorithm. Each call verifies a token, so the verification allocates nothing but the
//! user's id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use serde::{Deserialize, Serialize};

use super::derived_key::{HmacSha256, derive_key};
use crate::chat::error::ChatError;
use crate::model::{Millis, SessionId, UserId};

/// `{"alg":"HS256","typ":"JWT"}` in base64url, with the dot that follows it.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";
/// The longest claims, in bytes of JSON. Their longest part is a user id of 128 characters.
const MAX_CLAIMS_BYTES: usize = 512;
const BAD_SESSION: &str = "this is no session token of this service: open a session with POST /v1/sessions";
const BAD_STREAM: &str = "this is no stream token of this service: take the events_url of your session";
const EXPIRED: &str = "this token has expired: refresh a session before it ends, or open a new one";

/// The session and the user of a verified token. The database decides whether the session is still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The id of the session.
    pub session: SessionId,
    /// The user of the session.
    pub user: UserId,
}

/// Issues and verifies session and stream tokens. Cheap to clone: it holds prepared keys only.
#[derive(Clone)]
pub(crate) struct SessionTokens {
    session: TokenKind,
    stream: TokenKind,
}

/// One kind of token. Key, audience and scope are different for each kind, and each of the three is checked.
#[derive(Clone)]
struct TokenKind {
    /// Already keyed. To clone it is cheaper than to hash the key again for each token.
    mac: HmacSha256,
    audience: &'static str,
    scope: &'static str,
    refusal: &'static str,
}

/// The claims that are signed. They are borrowed when they are read: ids have no characters that JSON escapes.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    aud: &'a str,
    scope: &'a str,
    sid: &'a str,
    sub: &'a str,
    /// Seconds since the Unix epoch (RFC 7519 §2, NumericDate).
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

impl SessionTokens {
    /// Derives the keys from the root key: `PARLOUR_TOKEN_KEY`, or the key that the database holds.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self {
            session: TokenKind {
                mac: derive_key(key, "parlour session token v1"),
                audience: "parlour:session",
                scope: "session",
                refusal: BAD_SESSION,
            },
            stream: TokenKind {
                mac: derive_key(key, "parlour stream token v1"),
                audience: "parlour:stream",
                scope: "stream",
                refusal: BAD_STREAM,
            },
        }
    }

    /// Issues a token that authorizes the session's calls until the end of the second in which the session expires. It
    /// never expires before its session; the database checks the end of the session to the millisecond.
    pub(crate) fn session_token(&self, session: SessionId, user: &UserId, expires_at: Millis) -> String {
        let seconds = expires_at.0.saturating_add(999).div_euclid(1000);
        self.session.sign(session, user, Some(seconds))
    }

    /// Issues a token that opens the session's stream as long as the session is valid.
    pub(crate) fn stream_token(&self, session: SessionId, user: &UserId) -> String {
        self.stream.sign(session, user, None)
    }

    /// Verifies a session token and returns its session and user.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] for anything but a session token of this service that has not expired.
    pub(crate) fn verify_session(&self, token: &str, now: Millis) -> Result<Claims, ChatError> {
        let (claims, expires) = self.session.verify(token)?;
        // A token without an expiry was not issued by `session_token`.
        let expires = expires.ok_or(ChatError::Unauthenticated(BAD_SESSION))?;
        if now.0.div_euclid(1000) >= expires { Err(ChatError::Unauthenticated(EXPIRED)) } else { Ok(claims) }
    }

    /// Verifies a stream token and returns its session and user.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] for anything but a stream token of this service.
    pub(crate) fn verify_stream(&self, token: &str) -> Result<Claims, ChatError> {
        self.stream.verify(token).map(|(claims, _)| claims)
    }
}

impl TokenKind {
    fn sign(&self, session: SessionId, user: &UserId, exp: Option<i64>) -> String {
        let sid = session.to_string();
        let payload = Payload { aud: self.audience, scope: self.scope, sid: &sid, sub: user.as_str(), exp };
        let json = serde_json::to_vec(&payload).expect("strings and a number are JSON");
        let mut token = String::with_capacity(HEADER.len() + json.len() * 4 / 3 + 48);
        token.push_str(HEADER);
        URL_SAFE_NO_PAD.encode_string(json, &mut token);
        let signature = self.mac.clone().chain_update(&token).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    fn verify(&self, token: &str) -> Result<(Claims, Option<i64>), ChatError> {
        self.read(token).ok_or(ChatError::Unauthenticated(self.refusal))
    }

    /// Returns the claims and the expiry, in seconds since the Unix epoch. The signature is checked before any byte of
    /// the claims is read.
    fn read(&self, token: &str) -> Option<(Claims, Option<i64>)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let claims = signed.strip_prefix(HEADER)?;
        let mut tag = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut tag).ok()?;
        // `verify_slice` compares in constant time.
        self.mac.clone().chain_update(signed).verify_slice(&tag[..length]).ok()?;

        let mut json = [0; MAX_CLAIMS_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(claims, &mut json).ok()?;
        let payload: Payload<'_> = serde_json::from_slice(&json[..length]).ok()?;
        let ours = payload.aud == self.audience && payload.scope == self.scope;
        let claims = Claims { session: SessionId::parse(payload.sid)?, user: UserId::parse(payload.sub)? };
        ours.then_some((claims, payload.exp))
    }
}

/// Hashes a device id, which is the password of its account: a keyed HMAC-SHA256 in base64url. Without the key, a copy
/// of the database does not show whether a guessed device id is right.
pub(crate) fn device_hash(key: &[u8], device_id: &str) -> String {
    let hash = derive_key(key, "parlour device id v1").chain_update(device_id).finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::super::derived_key::keyed;
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_500);

    #[track_caller]
    fn assert_refused(outcome: Result<Claims, ChatError>, why: &str) {
        match outcome {
            Err(ChatError::Unauthenticated(sentence)) => assert!(sentence.contains(why), "{sentence}"),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn tokens() -> SessionTokens {
        SessionTokens::new(b"the root key of a service, 32+ by")
    }

    fn somebody() -> Claims {
        let user = UserId::parse("auth0|ana.0+x@example=~-").expect("an id");
        Claims { session: SessionId(Uuid::now_v7()), user }
    }

    fn session_token(claims: &Claims) -> String {
        tokens().session_token(claims.session, &claims.user, NOW.plus(Duration::from_secs(10)))
    }

    #[test]
    fn a_session_token_speaks_for_its_session_until_it_expires() {
        let claims = somebody();
        let token = session_token(&claims);
        assert_eq!(tokens().verify_session(&token, NOW).expect("holds"), claims);
        let expiry = NOW.plus(Duration::from_secs(10));
        assert!(tokens().verify_session(&token, expiry.minus(Duration::from_millis(1))).is_ok());
        assert_refused(tokens().verify_session(&token, expiry.plus(Duration::from_secs(1))), "expired");
    }

    #[test]
    fn a_stream_token_opens_its_stream_and_nothing_else() {
        let claims = somebody();
        let stream = tokens().stream_token(claims.session, &claims.user);
        assert_eq!(tokens().verify_stream(&stream).expect("holds"), claims);
        assert_refused(tokens().verify_session(&stream, NOW), "no session token");
        assert_refused(tokens().verify_stream(&session_token(&claims)), "no stream token");
    }

    #[test]
    fn the_longest_user_id_fits() {
        let user = UserId::parse(&"x".repeat(UserId::MAX)).expect("an id");
        let claims = Claims { session: SessionId(Uuid::nil()), user };
        let token = tokens().session_token(claims.session, &claims.user, Millis(i64::MAX - 999));
        assert_eq!(tokens().verify_session(&token, NOW).expect("holds"), claims);
    }

    #[test]
    fn a_token_that_was_tampered_with_is_refused_wherever_it_was() {
        let token = session_token(&somebody());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(bytes).expect("ASCII");
            assert_refused(tokens().verify_session(&tampered, NOW), "no session token");
        }
        for wrong in ["", ".", "..", "a.b.c", &token[..token.len() - 1], &format!("{token}A"), &"é".repeat(300)] {
            assert_refused(tokens().verify_session(wrong, NOW), "no session token");
        }
    }

    #[test]
    fn a_foreign_key_an_unsigned_token_and_another_algorithm_are_refused() {
        let claims = somebody();
        let foreign = SessionTokens::new(b"another root key of 32 bytes....");
        let theirs = foreign.session_token(claims.session, &claims.user, NOW.plus(Duration::from_secs(10)));
        assert_refused(tokens().verify_session(&theirs, NOW), "no session token");

        let token = session_token(&claims);
        let payload = token.split('.').nth(1).expect("a payload");
        for header in [json!({"alg": "none"}), json!({"alg": "none", "typ": "JWT"})] {
            let unsigned = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header.to_string()));
            assert_refused(tokens().verify_session(&unsigned, NOW), "no session token");
        }
        let key = EncodingKey::from_secret(b"the root key of a service, 32+ by");
        let body =
            json!({"aud": "parlour:session", "scope": "session", "sid": claims.session, "sub": "ana", "exp": 9e9});
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let by_root_key = encode(&Header::new(algorithm), &body, &key).expect("signs");
            assert_refused(tokens().verify_session(&by_root_key, NOW), "no session token");
        }
    }

    #[test]
    fn our_tokens_are_jwts_that_any_library_reads() {
        let claims = somebody();
        let key = hmac_key(b"the root key of a service, 32+ by", "parlour session token v1");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["parlour:session"]);
        validation.validate_exp = false;
        let read =
            decode::<Value>(session_token(&claims), &DecodingKey::from_secret(&key), &validation).expect("a JWT");
        assert_eq!(read.claims["sub"], claims.user.as_str());
        assert_eq!(read.claims["exp"], 1_700_000_011);
    }

    fn hmac_key(root: &[u8], label: &str) -> Vec<u8> {
        keyed(root).chain_update(label).finalize().into_bytes().to_vec()
    }

    #[test]
    fn a_device_hash_depends_on_the_key_and_reveals_no_device() {
        let hash = device_hash(b"key", "a-device-id-of-16");
        assert_eq!(hash.len(), 43);
        assert_eq!(hash, device_hash(b"key", "a-device-id-of-16"));
        assert_ne!(hash, device_hash(b"other", "a-device-id-of-16"));
        assert_ne!(hash, device_hash(b"key", "a-device-id-of-17"));
    }
}
