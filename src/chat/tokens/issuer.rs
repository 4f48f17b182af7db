//! The public keys of an issuer: a JSON Web Key Set (RFC 7517) from a file or a URL. The keys at a URL are fetched when the
//! first token arrives, and again when a token names an unknown key, or when the fetched keys are old.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header};
use parking_lot::Mutex;
use reqwest::redirect;
use tokio::sync::OwnedMutexGuard;

use crate::chat::error::ChatError;
use crate::config::ConfigError;
use crate::model::Millis;

const SETTING: &str = "PARLOUR_JWT_JWKS";
/// The time limit of a fetch, up to the end of the body. Callers wait for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest key set, in bytes. An issuer has a few keys of a few hundred bytes each.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The shortest interval between two fetches. Any client can name an unknown key, so it limits the load on the issuer.
const FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// The same while no fetch has succeeded yet. It is shorter, because no user can sign in until then.
const FIRST_FETCH_INTERVAL: Duration = Duration::from_secs(2);
/// The age at which keys are fetched again: for this long, a key that the issuer has withdrawn is still accepted.
const MAX_KEYS_AGE: Duration = Duration::from_mins(10);
/// The shortest RSA modulus, in bytes. RS256 needs 2048 bits or more (RFC 7518 §3.3).
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// A key that verifies signatures, with the one algorithm that it is used for.
pub(super) struct IssuerKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable keys of an issuer's key set.
#[derive(Default)]
pub(super) struct KeySet(Vec<IssuerKey>);

impl IssuerKey {
    pub(super) fn new(id: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { id, algorithm, key }
    }

    /// Reads a key of a key set. Returns `None` for a key that must not verify signatures (a secret of type `oct`, a key
    /// for encryption, a short RSA key), and for an unsupported one.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let may_verify = common.public_key_use.as_ref().is_none_or(|key_use| *key_use == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
            && common.key_algorithm.is_none_or(|algorithm| algorithm == named);
        if !may_verify {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let is_strong = match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= MIN_RSA_MODULUS_BYTES,
            DecodingKeyKind::SecretOrDer(_) => true,
        };
        is_strong.then(|| Self::new(common.key_id.clone(), algorithm, key))
    }
}

impl KeySet {
    pub(super) fn of_one(key: IssuerKey) -> Self {
        Self(vec![key])
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|error| format!("is no key set: {error}"))?;
        let keys: Vec<_> = set.keys.iter().filter_map(IssuerKey::from_jwk).collect();
        if keys.is_empty() {
            return Err("holds no public key for RS256 (2048 bits or more), ES256 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    /// Returns the key that a token names in its header, if it is for the token's algorithm. A token or a key without a
    /// `kid` matches if the set has one key only.
    pub(super) fn find(&self, header: &Header) -> Option<&IssuerKey> {
        let matches = |key: &&IssuerKey| match (&key.id, &header.kid) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => self.0.len() == 1,
        };
        self.0.iter().filter(matches).find(|key| key.algorithm == header.alg)
    }
}

/// Reads a JWKS file.
///
/// # Errors
/// [`ConfigError`] if the file cannot be read, or has no usable key.
pub(super) fn read_file(path: &str) -> Result<KeySet, ConfigError> {
    let json = std::fs::read(path)
        .map_err(|error| ConfigError::new(SETTING, format!("names a file that cannot be read ({path}): {error}")))?;
    KeySet::parse(&json).map_err(|problem| ConfigError::new(SETTING, format!("names {path}, which {problem}")))
}

/// The keys at a URL.
pub(super) struct RemoteKeys {
    url: String,
    client: reqwest::Client,
    /// Not an async mutex, as nothing is awaited while it is locked.
    cached: Mutex<CachedKeys>,
    /// The lock of the one task that may fetch, and the time of the last fetch. An async mutex, as the lock is held
    /// during the fetch, and in an `Arc`, as the task that fetches takes the lock with it.
    last_fetch: Arc<tokio::sync::Mutex<Option<Millis>>>,
}

/// The keys of the last successful fetch.
#[derive(Clone, Default)]
struct CachedKeys {
    keys: Arc<KeySet>,
    fetched_at: Option<Millis>,
}

impl RemoteKeys {
    /// Prepares the client. The keys are fetched later.
    ///
    /// # Errors
    /// [`ConfigError`] if the URL cannot be parsed, or the system's certificates cannot be read.
    pub(super) fn new(url: &str) -> Result<Self, ConfigError> {
        let wrong = |error: &dyn std::fmt::Display| ConfigError::new(SETTING, format!("cannot be asked: {error}"));
        reqwest::Url::parse(url).map_err(|error| wrong(&error))?;
        // The first call in a process installs the provider; later calls fail, as it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(redirect::Policy::limited(3))
            // A redirect must not lead from TLS to plain HTTP, where the keys could be replaced.
            .https_only(url.starts_with("https://"))
            .build()
            .map_err(|error| wrong(&error))?;
        Ok(Self { url: url.to_owned(), client, cached: Mutex::default(), last_fetch: Arc::default() })
    }

    /// Returns the keys to verify this token with. They are fetched if the token's key is unknown, or if they are old.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] while no fetch has succeeded.
    pub(super) async fn for_token(self: &Arc<Self>, header: &Header, now: Millis) -> Result<Arc<KeySet>, ChatError> {
        let cached = self.cached();
        let is_known = cached.keys.find(header).is_some();
        if is_known && !cached.is_old(now) {
            return Ok(cached.keys);
        }
        let last_fetch = Arc::clone(&self.last_fetch);
        let last_fetch = if is_known {
            // Old keys are good enough while another caller fetches.
            let Ok(locked) = last_fetch.try_lock_owned() else {
                return Ok(cached.keys);
            };
            locked
        } else {
            last_fetch.lock_owned().await
        };
        // In a task of its own: a caller that closes its connection must not cancel a fetch that others wait for.
        let this = Arc::clone(self);
        let header = header.clone();
        let fetch = tokio::spawn(async move { this.refetch(last_fetch, &header, now).await });
        fetch.await.map_err(|error| ChatError::Internal(Box::new(error)))?;
        let cached = self.cached();
        if cached.fetched_at.is_some() { Ok(cached.keys) } else { Err(ChatError::Unavailable) }
    }

    /// Fetches the keys, unless another caller has fetched the key of `header` in the meantime, or the last fetch was
    /// too recent.
    async fn refetch(&self, mut last_fetch: OwnedMutexGuard<Option<Millis>>, header: &Header, now: Millis) {
        let cached = self.cached();
        let is_served = cached.keys.find(header).is_some() && !cached.is_old(now);
        let interval = if cached.fetched_at.is_some() { FETCH_INTERVAL } else { FIRST_FETCH_INTERVAL };
        if is_served || last_fetch.is_some_and(|then| !has_passed(then, now, interval)) {
            return;
        }
        *last_fetch = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                *self.cached.lock() = CachedKeys { keys: Arc::new(keys), fetched_at: Some(now) };
            }
            Err(problem) => tracing::warn!(url = self.url, problem, "the issuer's keys cannot be fetched"),
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let response = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(|error| error.to_string())?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(format!("is longer than {MAX_BODY_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body)
    }

    fn cached(&self) -> CachedKeys {
        self.cached.lock().clone()
    }
}

impl CachedKeys {
    fn is_old(&self, now: Millis) -> bool {
        self.fetched_at.is_none_or(|then| has_passed(then, now, MAX_KEYS_AGE))
    }
}

/// Reports whether `wait` has passed between `then` and `now`. A `now` before `then` counts as passed, or a clock that
/// was set back would prolong the wait.
fn has_passed(then: Millis, now: Millis, wait: Duration) -> bool {
    now < then || now >= then.plus(wait)
}
