//! Tests of the keys of an issuer: which are accepted, and when they are fetched.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;

use super::*;

/// Made for these tests by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`; opens nothing.
const RSA_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCtP4NoKkFDRCjq
Eq3L786AzVGjwqf2at/zaWeAkvGzBz2i54Ob2bMK6tDDlHOUzy2nKvV+OmiNjXWY
Gii2weg1FKxW8P/OtIc8JJpvT8oy+PQIkvBc9y78TSgBjDbaC904yhBokIJrx6YE
cuzf0JcgCoqYQXRGDOahyGIsV0rrTaaUYXp7CuRU4yDTsA0niipM5qPz4Zarpv65
cpwwylTwZ9Yfv5R/JB9oJ5ukTV1D4G3SQissd92CRCP5ixuF3LaXSjL5BgTZvm2Y
NCFol5Y8QNcFw3PfaWbkJ7xdCYMYRwiNb9gqLGJWdUFS07d4pgl/3RMfpKWIAHv5
e/O4wh5ZAgMBAAECggEAI7BURRaDSDSXyxRa+gpl+1GQclAsoo4EoVOCz1E1+h/R
OihAC9BuWh7iL4/6uVpueKPYW47zr8lGwrUM0w0h5SFjmStfPvkgbKrLp4eDyzlO
qB+A5V3EL5RDXAJC4GsWQNcbRzcRrts7X2o/UqHZJ/AT+eZt6epJbmVll+XJmKwY
TaTIv6SoF3jEo/Z9va0kJKx5wJXlvQElDLBhAuX0JA9GUKwszbLhchQBx4xw9J9r
r7kF3f3RADf81TaoK4MleSOlA7YUNXD4mB4FUg9YJzggzlFEeWuXDhmgVT24F8CH
C6Ns7+bcI36GEoBi6WNtowxJL7A/N/AhUoxa9Zv8iwKBgQDwmD37nq+tLOA7C4/9
gr2+FZHQpAQ61OOI72z0cg+gcaF6nTmBK5SS12Fm09Cey6sPWHkoWIJ2DhF98Dy4
0l7fD78Rbg6wGSk+n8vlYKU9ra1KlmL3ac/JwCiOl4sMBvhHyjT/pmt1cjNnR+Xm
xw9l+450RnmCAtYaf/qDxRyuJwKBgQC4V1hwsoSTwY0opdRZtQhPF/csF5T0ZtJw
dFU+3AlBZ00YnxmcoANZT7JYle15fj2mUi21W3zmKyVdUl4zyQlDIBokOCCy4WwG
dK8DJvc+Xm0ES+qEM6+euGk1IZ8EWLLBGc14UogMGzTv6klFl0C9PVU0mAGHIBvq
xuf8LacffwKBgFqU1vE+42FNvfY8+i814/4G3Okydy03LZtGmTzHHL8JSQSC4T2S
jNNkJ5WxNaAziemzI5pfCG8uCMPjiNkEyxcsNIF5cCo4ruCXBQsNAelg1Bd62zPP
MJ4CrMJSp9UVYrCUnrOJknebUWMXHKVwWInK1e1NAz5Blx5PBKBLu+qNAoGBAKwm
jeY5IMyn3X6PVv8rrAXJOMBJiYawm2f/jDh23oHgycPrmMyHNnlqjwBhi3OBbGtt
pVgPh1WgB3XeXTD5VpgEW8VlUUwcbnic8W/9LLpnDmILz4gEiMauKzo+GrXBa7Yf
tZ3fXUQJCGfhIOpHdWME6xSBvDOHzep0NONxcvhbAoGAClk5J0zHRao5J0kaITkD
vOndjil69/+bBQ3h98xDGmCu9iqiZAuNG/yEXSgr5BJdQ4I7OVi14J83Uls6+53M
7x96GydlOvAMJf5IQmwkmewTHSZi5cDetpRL7kuNE8uudxNAA9EiNeXehTIO2i/N
sRFF9iQVe244CM47BKnqVp4=
-----END PRIVATE KEY-----";

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA_PEM.as_bytes()).expect("a key")
}

/// A P-256 key in PKCS#8: all of its structure, and a number for the secret.
fn ec(number: u8) -> EncodingKey {
    let mut der = vec![
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    der.extend([number; 32]);
    EncodingKey::from_ec_der(&der)
}

/// An Ed25519 key in PKCS#8.
fn ed(number: u8) -> EncodingKey {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([number; 32]);
    EncodingKey::from_ed_der(&der)
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).expect("a key")).expect("JSON");
    jwk["kid"] = kid.into();
    jwk
}

fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn all_keys() -> [Value; 3] {
    [jwk(&rsa(), Algorithm::RS256, "rsa"), jwk(&ec(7), Algorithm::ES256, "ec"), jwk(&ed(7), Algorithm::EdDSA, "ed")]
}

fn by_file(json: &str) -> Result<UserTokens, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("keys.json");
    std::fs::write(&path, json).expect("writes");
    let config = Config::from_flags(["--jwt-jwks", path.to_str().expect("UTF-8")]).expect("a configuration");
    UserTokens::from_config(&config).map_err(|error| error.to_string())
}

#[tokio::test]
async fn each_kind_of_key_in_a_jwks_file_verifies() {
    let tokens = by_file(&key_set(&all_keys())).expect("keys");
    let signers = [(Algorithm::RS256, rsa(), "rsa"), (Algorithm::ES256, ec(7), "ec"), (Algorithm::EdDSA, ed(7), "ed")];
    for (algorithm, key, kid) in &signers {
        let token = sign(*algorithm, key, Some(kid), &ana());
        assert_eq!(tokens.verify(&token, NOW).await.expect("holds").user_id.as_str(), "ana", "{kid}");
        assert_refused(tokens.verify(&sign(*algorithm, key, Some("gone"), &ana()), NOW).await, "does not publish");
        assert_refused(tokens.verify(&sign(*algorithm, key, None, &ana()), NOW).await, "does not publish");
        let (signed, _) = token.rsplit_once('.').expect("a signature");
        assert_refused(tokens.verify(&format!("{signed}.AAAA"), NOW).await, "not signed");
    }
    assert_refused(tokens.verify(&sign(Algorithm::ES256, &ec(8), Some("ec"), &ana()), NOW).await, "not signed");
    assert_refused(tokens.verify(&sign(Algorithm::EdDSA, &ed(8), Some("ed"), &ana()), NOW).await, "not signed");
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_secret() {
    let tokens = by_file(&key_set(&all_keys())).expect("keys");
    let modulus = all_keys()[0]["n"].as_str().expect("a modulus").to_owned();
    let decoded = URL_SAFE_NO_PAD.decode(&modulus).expect("base64url");
    for public in [modulus.as_bytes(), &decoded, RSA_PEM.as_bytes()] {
        let forged = sign(Algorithm::HS256, &EncodingKey::from_secret(public), Some("rsa"), &ana());
        assert_refused(tokens.verify(&forged, NOW).await, "does not publish");
    }
    // Nor for another algorithm than its own.
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        assert_refused(tokens.verify(&sign(algorithm, &rsa(), Some("rsa"), &ana()), NOW).await, "does not publish");
    }
}

#[tokio::test]
async fn keys_that_must_not_verify_are_left_out() {
    let secret = json!({"kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let mut encrypts = jwk(&ec(9), Algorithm::ES256, "enc");
    encrypts["use"] = "enc".into();
    let mut other = jwk(&rsa(), Algorithm::RS256, "rs512");
    other["alg"] = "RS512".into();
    let weak = json!({"kty": "RSA", "kid": "weak", "n": URL_SAFE_NO_PAD.encode([0xc1; 128]), "e": "AQAB"});
    let unknown = json!({"kty": "AKP", "kid": "pq", "pub": "x"});
    let useless = [secret, encrypts, other, weak, unknown];
    assert!(by_file(&key_set(&useless)).err().is_some_and(|sentence| sentence.contains("holds no public key")));

    let one = [useless.as_slice(), &[jwk(&ed(7), Algorithm::EdDSA, "ed")]].concat();
    let tokens = by_file(&key_set(&one)).expect("one key");
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    assert_refused(tokens.verify(&sign(Algorithm::HS256, &secret, Some("oct"), &ana()), NOW).await, "does not publish");
    assert_refused(tokens.verify(&sign(Algorithm::ES256, &ec(9), Some("enc"), &ana()), NOW).await, "does not publish");
    // Where there is one key only, a token need not name it.
    assert!(tokens.verify(&sign(Algorithm::EdDSA, &ed(7), None, &ana()), NOW).await.is_ok());
}

#[test]
fn a_file_that_holds_no_keys_stops_the_start() {
    assert!(by_file("[]").err().is_some_and(|sentence| sentence.starts_with("PARLOUR_JWT_JWKS ")));
    let config = Config::from_flags(["--jwt-jwks", "no/such/file.json"]).expect("a configuration");
    let sentence = UserTokens::from_config(&config).err().expect("no file").to_string();
    assert!(sentence.contains("no/such/file.json"), "{sentence}");
}

/// Answers each request with the next of `bodies`, and with the last one from then on.
fn serve_keys(bodies: Vec<String>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let body = &bodies[count.fetch_add(1, Ordering::SeqCst).min(bodies.len() - 1)];
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    (url, asked)
}

fn by_url(url: &str) -> UserTokens {
    let config = Config::from_flags(["--jwt-jwks", url]).expect("a configuration");
    UserTokens::from_config(&config).expect("a URL")
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_at_most_every_thirty_seconds() {
    let old = key_set(&[jwk(&ed(1), Algorithm::EdDSA, "old")]);
    let new = key_set(&[jwk(&ed(2), Algorithm::EdDSA, "new")]);
    let (url, asked) = serve_keys(vec![old, new]);
    let tokens = by_url(&url);
    let by_old = sign(Algorithm::EdDSA, &ed(1), Some("old"), &ana());
    let by_new = sign(Algorithm::EdDSA, &ed(2), Some("new"), &ana());

    assert!(tokens.verify(&by_old, NOW).await.is_ok());
    assert!(tokens.verify(&by_old, NOW).await.is_ok());
    assert_refused(tokens.verify(&by_new, NOW.plus(Duration::from_secs(29))).await, "does not publish");
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let later = NOW.plus(Duration::from_secs(30));
    let (one, other) = tokio::join!(tokens.verify(&by_new, later), tokens.verify(&by_new, later));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_refused(tokens.verify(&by_old, later).await, "does not publish");
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten_and_an_issuer_that_is_away_is_not() {
    let old = key_set(&[jwk(&ed(1), Algorithm::EdDSA, "old")]);
    let new = key_set(&[jwk(&ed(2), Algorithm::EdDSA, "new")]);
    let (url, asked) = serve_keys(vec![old, "overloaded".to_owned(), new]);
    let tokens = by_url(&url);
    let by_old = sign(Algorithm::EdDSA, &ed(1), Some("old"), &ana());
    assert!(tokens.verify(&by_old, NOW).await.is_ok());
    assert!(tokens.verify(&by_old, NOW.plus(Duration::from_mins(10))).await.is_ok());
    assert_refused(tokens.verify(&by_old, NOW.plus(Duration::from_mins(11))).await, "does not publish");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn keys_that_were_never_reached_are_our_trouble_and_not_the_callers() {
    let huge = format!("{{\"keys\": []{}}}", " ".repeat(300 * 1024));
    let (url, asked) = serve_keys(vec![huge, key_set(&all_keys())]);
    let tokens = by_url(&url);
    let token = sign(Algorithm::EdDSA, &ed(7), Some("ed"), &ana());
    assert!(matches!(tokens.verify(&token, NOW).await, Err(ChatError::Unavailable)));
    assert!(matches!(tokens.verify(&token, NOW).await, Err(ChatError::Unavailable)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(tokens.verify(&token, NOW.plus(Duration::from_secs(2))).await.is_ok());
}
