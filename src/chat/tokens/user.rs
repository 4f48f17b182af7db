//! User tokens: JWTs by which the integrator's login says who somebody is. Which algorithm a key takes is fixed by the
//! configuration or by the key itself, never by the token, so that a public key cannot be used as a secret and an
//! unsigned token is no token.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::issuer::{self, IssuerKey, KeySet, RemoteKeys};
use crate::chat::ChatError;
use crate::config::{Config, ConfigError};
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{Millis, UserId};

/// How far the issuer's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(5);
/// Longer ones are not looked at: no login signs so much.
const MAX_TOKEN: usize = 16 * 1024;

const NO_ISSUER: &str = "this service takes no user tokens: open a session with a device_id";
const UNREADABLE: &str = "this is no user token that this service can read: bring a JWT of its issuer";
const UNKNOWN_KEY: &str = "this user token is signed with a key that its issuer does not publish: sign in again";
const REFUSED: &str = "this user token is not signed by this service's issuer, not meant for this service, or lacks \
                       sub or exp: sign in again";
const EXPIRED: &str = "this user token has expired: sign in again";
const NOT_YET: &str = "this user token is not valid yet: check the clocks";
const NO_USER: &str = "the sub of this user token cannot be a user's id: it takes 1 to 128 of A-Z a-z 0-9 . _ @ | ~ + \
                       = - and no ~ in front";

/// What a user token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    /// Their `sub`; never a built-in account.
    pub user_id: UserId,
    /// Their `name`, where it can be a user's name: 1 to 64 characters, none of them a control character.
    pub name: Option<String>,
    /// When the token ends (`exp`).
    pub expires_at: Millis,
}

/// Verifies user tokens by the configured issuer's keys.
#[derive(Clone)]
pub struct UserTokens {
    /// `None` where no issuer is configured.
    keys: Option<Keys>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
enum Keys {
    /// One secret, or the keys of a file: known from the start.
    Fixed(Arc<KeySet>),
    /// Keys behind a URL: fetched when first needed.
    Remote(Arc<RemoteKeys>),
}

#[derive(Deserialize)]
struct UserClaims {
    sub: String,
    /// Any JSON value: an odd name is no reason to lock somebody out.
    #[serde(default)]
    name: Value,
    /// Seconds since the epoch, perhaps with a fraction (RFC 7519 §2, NumericDate).
    exp: f64,
    nbf: Option<f64>,
}

impl UserTokens {
    /// Prepares the keys. A JWKS file is read at once, a URL not before the first token.
    ///
    /// # Errors
    /// A JWKS file that cannot be read or holds no usable key, or a URL that cannot be asked.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
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

    /// Who the bearer of this token is.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] for a token that does not hold; [`ChatError::Unavailable`] where the issuer's
    /// keys have never been reached.
    pub async fn verify(&self, token: &str, now: Millis) -> Result<VerifiedUser, ChatError> {
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
        self.judge(claims, now)
    }

    /// The one algorithm of the key. Times are judged by our own clock, in [`UserTokens::judge`].
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        validation.validate_exp = false;
        // Without a configured audience we cannot tell whether we are meant, and the token may name any.
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        // The library compares only what is there: a claim left out must not count as a match.
        validation.set_required_spec_claims(&required);
        validation
    }

    fn judge(&self, claims: UserClaims, now: Millis) -> Result<VerifiedUser, ChatError> {
        let expires_at = numeric_date(claims.exp).ok_or(ChatError::Unauthenticated(EXPIRED))?;
        if expires_at.plus(LEEWAY) <= now {
            return Err(ChatError::Unauthenticated(EXPIRED));
        }
        if let Some(begin) = claims.nbf
            && numeric_date(begin).is_none_or(|begin| now.plus(LEEWAY) < begin)
        {
            return Err(ChatError::Unauthenticated(NOT_YET));
        }
        let user_id = UserId::parse(&claims.sub).filter(|user| !user.is_built_in());
        let user_id = user_id.ok_or(ChatError::Unauthenticated(NO_USER))?;
        Ok(VerifiedUser { user_id, name: usable_name(claims.name), expires_at })
    }
}

/// The header, of a token that is short enough and asks for nothing that we do not know (RFC 7515 §4.1.11, `crit`).
fn header_of(token: &str) -> Option<Header> {
    let fits = token.len() <= MAX_TOKEN;
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

/// Signs a user token as the configured issuer would: for trying the service out, and for scripts.
///
/// # Errors
/// Where no `PARLOUR_JWT_SECRET` is configured: nothing else that this service holds may sign.
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
