//! An issuer's public keys: a JSON Web Key Set (RFC 7517) from a file or a URL. Keys behind a URL are fetched when the
//! first token comes, and again when a token names a key that is not among them, or when they are old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header};
use reqwest::redirect;
use tokio::sync::OwnedMutexGuard;

use crate::chat::ChatError;
use crate::config::ConfigError;
use crate::model::Millis;

const SETTING: &str = "PARLOUR_JWT_JWKS";
/// For the whole answer: callers wait for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// An issuer has a handful of keys of a few hundred bytes.
const MAX_BODY: usize = 256 * 1024;
/// Anyone can name an unknown key: so often the issuer is asked for it at most.
const PAUSE: Duration = Duration::from_secs(30);
/// While no key has ever been reached nobody can sign in: it is tried again sooner.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// So long a key that its issuer has withdrawn goes on being believed at most.
const MAX_AGE: Duration = Duration::from_mins(10);
/// RFC 7518 §3.3: RS256 takes 2048 bits or more.
const LEAST_RSA_BYTES: usize = 256;

/// A key that verifies, with the one algorithm that it is used for.
pub(super) struct IssuerKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable keys of an issuer.
#[derive(Default)]
pub(super) struct KeySet(Vec<IssuerKey>);

impl IssuerKey {
    pub(super) fn new(id: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { id, algorithm, key }
    }

    /// `None` for keys that cannot or must not verify: secrets (`oct`), keys for encryption, and what is unsupported.
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
        let signs = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|them| them.contains(&KeyOperations::Verify))
            && common.key_algorithm.is_none_or(|it| it == named);
        let key = if signs {
            DecodingKey::from_jwk(jwk).ok()?
        } else {
            return None;
        };
        let strong = match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= LEAST_RSA_BYTES,
            DecodingKeyKind::SecretOrDer(_) => true,
        };
        strong.then(|| Self::new(common.key_id.clone(), algorithm, key))
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

    /// The key that the token names. A token or key without a name fits where there is no choice.
    pub(super) fn find(&self, header: &Header) -> Option<&IssuerKey> {
        let fits = |key: &&IssuerKey| match (&key.id, &header.kid) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => self.0.len() == 1,
        };
        self.0.iter().filter(fits).find(|key| key.algorithm == header.alg)
    }
}

/// Reads a JWKS file.
///
/// # Errors
/// Where there is no such file, or no usable key in it.
pub(super) fn read_file(path: &str) -> Result<KeySet, ConfigError> {
    let json = std::fs::read(path)
        .map_err(|error| ConfigError::new(SETTING, format!("names a file that cannot be read ({path}): {error}")))?;
    KeySet::parse(&json).map_err(|problem| ConfigError::new(SETTING, format!("names {path}, which {problem}")))
}

/// Keys behind a URL.
pub(super) struct RemoteKeys {
    url: String,
    client: reqwest::Client,
    /// Not an async mutex, as nothing is awaited while it is held.
    known: Mutex<Known>,
    /// Whoever holds it fetches; it keeps when that was tried last. Shared with the task that fetches.
    turn: Arc<tokio::sync::Mutex<Option<Millis>>>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<KeySet>,
    fetched_at: Option<Millis>,
}

impl RemoteKeys {
    /// # Errors
    /// Where the URL is none, or the system's certificates cannot be read.
    pub(super) fn new(url: &str) -> Result<Self, ConfigError> {
        let wrong = |error: &dyn std::fmt::Display| ConfigError::new(SETTING, format!("cannot be asked: {error}"));
        reqwest::Url::parse(url).map_err(|error| wrong(&error))?;
        // Installed by whoever comes first in this process; the second finds the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(redirect::Policy::limited(3))
            // A redirect must not lead keys that were asked for under TLS out of it.
            .https_only(url.starts_with("https://"))
            .build()
            .map_err(|error| wrong(&error))?;
        Ok(Self { url: url.to_owned(), client, known: Mutex::default(), turn: Arc::default() })
    }

    /// The keys to verify this token with, fetched anew where they do not hold its key, or are old.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] while no keys have ever been reached.
    pub(super) async fn for_token(self: &Arc<Self>, header: &Header, now: Millis) -> Result<Arc<KeySet>, ChatError> {
        let known = self.known();
        let holds = known.keys.find(header).is_some();
        if holds && !known.is_old(now) {
            return Ok(known.keys);
        }
        let turn = if holds {
            // Old keys are good enough while somebody else fetches.
            let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else {
                return Ok(known.keys);
            };
            turn
        } else {
            Arc::clone(&self.turn).lock_owned().await
        };
        // In a task of its own: a caller who hangs up must neither cut the fetch short nor start it anew.
        let this = Arc::clone(self);
        let header = header.clone();
        let fetching = tokio::spawn(async move { this.refetch(turn, &header, now).await });
        fetching.await.map_err(|error| ChatError::Internal(Box::new(error)))?;
        let known = self.known();
        if known.fetched_at.is_some() { Ok(known.keys) } else { Err(ChatError::Unavailable) }
    }

    async fn refetch(&self, mut last_try: OwnedMutexGuard<Option<Millis>>, header: &Header, now: Millis) {
        let known = self.known();
        // Whoever had the turn before may have brought the key.
        let served = known.keys.find(header).is_some() && !known.is_old(now);
        let pause = if known.fetched_at.is_some() { PAUSE } else { FIRST_PAUSE };
        if served || last_try.is_some_and(|then| !has_passed(then, now, pause)) {
            return;
        }
        *last_try = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                let known = Known { keys: Arc::new(keys), fetched_at: Some(now) };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
            }
            Err(problem) => tracing::warn!(url = self.url, problem, "the issuer's keys cannot be fetched"),
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let answer = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(|error| error.to_string())?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(format!("is longer than {MAX_BODY} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body)
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Known {
    fn is_old(&self, now: Millis) -> bool {
        self.fetched_at.is_none_or(|then| has_passed(then, now, MAX_AGE))
    }
}

/// A clock that was set back must not make the wait as long as it was set back.
fn has_passed(then: Millis, now: Millis, wait: Duration) -> bool {
    now < then || now >= then.plus(wait)
}
