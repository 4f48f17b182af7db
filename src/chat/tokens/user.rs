//! User tokens: JWTs in which the integrator's login names a user. The configuration or the key itself fixes the
//! algorithm, never the token. So a public key cannot be used as an HMAC secret, and an unsigned token is refused.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::issuer::{self, IssuerKey, KeySet, RemoteKeys};
use crate::chat::error::ChatError;
use crate::config::{Config, ConfigError};
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{Millis, UserId};

/// The largest difference between the issuer's clock and this machine's that is tolerated.
const LEEWAY: Duration = Duration::from_secs(5);
/// The longest token that is decoded, in bytes. Logins sign much shorter ones.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

const NO_ISSUER: &str = "this service takes no user tokens: open a session with a device_id";
const UNREADABLE: &str = "this is no user token that this service can read: bring a JWT of its issuer";
const UNKNOWN_KEY: &str = "this user token is signed with a key that its issuer does not publish: sign in again";
const REFUSED: &str = "this user token is not signed by this service's issuer, not meant for this service, or lacks \
                       sub or exp: sign in again";
const EXPIRED: &str = "this user token has expired: sign in again";
const NOT_YET: &str = "this user token is not valid yet: check the clocks";
const NO_USER: &str = "the sub of this user token cannot be a user's id: it takes 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + \
                       = - and no ~ in front";

/// The claims of a valid user token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedUser {
    /// The claim `sub`. It is never the id of a built-in account.
    pub user_id: UserId,
    /// The claim `name`, if it can be a username: 1 to 64 characters without control characters.
    pub name: Option<String>,
    /// The expiry of the token, the claim `exp`.
    pub expires_at: Millis,
}

/// Verifies user tokens with the keys of the configured issuer.
#[derive(Clone)]
pub(crate) struct UserTokens {
    /// `None` if no issuer is configured.
    keys: Option<Keys>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
enum Keys {
    /// One secret, or the keys of a file. They are read at start and do not change.
    Fixed(Arc<KeySet>),
    /// The keys at a URL. They are fetched when the first token arrives.
    Remote(Arc<RemoteKeys>),
}

#[derive(Deserialize)]
struct UserClaims {
    sub: String,
    /// Any JSON value: a name that cannot be used is ignored, and the user may still sign in.
    #[serde(default)]
    name: Value,
    /// Seconds since the Unix epoch, possibly with a fraction (RFC 7519 §2, NumericDate).
    exp: f64,
    nbf: Option<f64>,
}

impl UserTokens {
    /// Prepares the keys. A JWKS file is read now, a URL is fetched when the first token arrives.
    ///
    /// # Errors
    /// [`ConfigError`] for a JWKS file that cannot be read or has no usable key, or a URL that cannot be fetched.
    pub(crate) fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let keys = match (&config.jwt_secret, &config.jwt_jwks) {
            (Some(secret), _) => {
                let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
                Some(Keys::Fixed(Arc::new(KeySet::of_one(IssuerKey::new(None, Algorithm::HS256, key)))))
            }
            (None, Some(url)) if url.starts_with("https://") || url.starts_with("http://") => {
                Some(Keys::Remote(Arc::new(RemoteKeys::new(url)?)))
            }
            (None, Some(path)) => Some(Keys::Fixed(Arc::new(issuer::read_file(path)?))),
            (None, None) => None,
        };
        Ok(Self { keys, issuer: config.jwt_issuer.clone(), audience: config.jwt_audience.clone() })
    }

    /// Verifies a user token and returns its claims.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the token is not valid; [`ChatError::Unavailable`] if the issuer's keys have
    /// never been fetched.
    pub(crate) async fn verify(&self, token: &str, now: Millis) -> Result<VerifiedUser, ChatError> {
        let keys = self.keys.as_ref().ok_or(ChatError::Unauthenticated(NO_ISSUER))?;
        let header = header_of(token).ok_or(ChatError::Unauthenticated(UNREADABLE))?;
        let keys = match keys {
            Keys::Fixed(keys) => Arc::clone(keys),
            Keys::Remote(remote) => remote.for_token(&header, now).await?,
        };
        let key = keys.find(&header).ok_or(ChatError::Unauthenticated(UNKNOWN_KEY))?;
        let claims = decode::<UserClaims>(token, &key.key, &self.validation(key.algorithm))
            .map_err(|_| ChatError::Unauthenticated(REFUSED))?
            .claims;
        check_claims(claims, now)
    }

    /// The rules by which the library verifies a token: the one algorithm of the key, and the claims that are configured.
    /// [`check_claims`] checks the times, by this service's clock.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        validation.validate_exp = false;
        // Without a configured audience, a token for any audience is accepted.
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        // The library compares only the claims that a token has. A missing claim must not count as a match.
        validation.set_required_spec_claims(&required);
        validation
    }
}

/// Checks the times and the user id of claims whose signature is valid.
fn check_claims(claims: UserClaims, now: Millis) -> Result<VerifiedUser, ChatError> {
    let expires_at = numeric_date(claims.exp).ok_or(ChatError::Unauthenticated(EXPIRED))?;
    if expires_at.plus(LEEWAY) <= now {
        return Err(ChatError::Unauthenticated(EXPIRED));
    }
    if let Some(not_before) = claims.nbf
        && numeric_date(not_before).is_none_or(|not_before| now.plus(LEEWAY) < not_before)
    {
        return Err(ChatError::Unauthenticated(NOT_YET));
    }
    let user_id = UserId::parse(&claims.sub).filter(|user| !user.is_built_in());
    let user_id = user_id.ok_or(ChatError::Unauthenticated(NO_USER))?;
    Ok(VerifiedUser { user_id, name: usable_name(claims.name), expires_at })
}

/// Decodes the header of a token. Returns `None` if the token is too long, or if it has extensions that must be
/// understood (`crit`, RFC 7515 §4.1.11): none are.
fn header_of(token: &str) -> Option<Header> {
    let fits = token.len() <= MAX_TOKEN_BYTES;
    let header = if fits { decode_header(token).ok() } else { None };
    header.filter(|header| header.crit.is_none())
}

fn numeric_date(seconds: f64) -> Option<Millis> {
    Duration::try_from_secs_f64(seconds).ok().map(|since_epoch| Millis(0).plus(since_epoch))
}

fn usable_name(name: Value) -> Option<String> {
    let Value::String(name) = name else { return None };
    is_name(&name, USERNAME_MAX).then_some(name)
}

/// Signs a user token as the configured issuer would, for scripts and for a first try of the service. The token is valid
/// from `now` on for `ttl`.
///
/// # Errors
/// [`ConfigError`] if `PARLOUR_JWT_SECRET` is not set: the service holds no other key that may sign user tokens.
pub fn mint_user_token(
    config: &Config,
    user: &UserId,
    name: Option<&str>,
    ttl: Duration,
    now: Millis,
) -> Result<String, ConfigError> {
    #[derive(Serialize)]
    struct Minted<'a> {
        sub: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
        iat: i64,
        exp: i64,
    }
    let setting = "PARLOUR_JWT_SECRET";
    let needed = "is not set, and nothing else can sign user tokens here: set it to a secret of at least 32 bytes";
    let secret = config.jwt_secret.as_ref().ok_or_else(|| ConfigError::new(setting, needed))?;
    let claims = Minted {
        sub: user.as_str(),
        name,
        iss: config.jwt_issuer.as_deref(),
        aud: config.jwt_audience.as_deref(),
        iat: now.0.div_euclid(1000),
        exp: now.plus(ttl).0.div_euclid(1000),
    };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| ConfigError::new(setting, format!("cannot sign a token: {error}")))
}
