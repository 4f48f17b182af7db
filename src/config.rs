//! Every setting of the service, from flags and `PARLOUR_*` variables, checked once at start. `main` reads
//! [`Settings`], [`Config::check`] refuses what cannot work in a sentence that names the setting, and nobody checks
//! again.

mod settings;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use tracing_subscriber::EnvFilter;

pub use settings::Settings;
pub use values::{Bus, CorsOrigins, LogFormat, Rate, duration};

/// Shorter keys can be guessed offline (RFC 7518 §3.2 asks for as many bits as HS256's hash has).
const LEAST_SECRET_BYTES: usize = 32;
const DAY: Duration = Duration::from_hours(24);

/// A setting that cannot be. Displays as one sentence that names the setting and says what it takes.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    /// Completes the sentence that begins with the setting's name.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }

    /// Says what the setting takes, and what it was given: never for secrets.
    fn value(setting: &'static str, given: &str, takes: impl fmt::Display) -> Self {
        Self::new(setting, format!("{takes}, and not {given:?}"))
    }
}

/// What the service runs with. Values are within their bounds and fit each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// `sqlite:…`, `postgres://…` or `postgresql://…`; may hold a password.
    pub database_url: SecretString,
    /// Connections that calls share, at least 2.
    pub database_pool: u32,
    /// Whether to migrate at start.
    pub auto_migrate: bool,
    /// How instances hint to each other.
    pub bus: Bus,
    /// Whether a `device_id` opens a session.
    pub device_accounts: bool,
    /// What signs user tokens (HS256), at least 32 bytes. At most one of this and `jwt_jwks` is set.
    pub jwt_secret: Option<SecretString>,
    /// The issuer's public keys: a file's path, or an `https://` or `http://` URL.
    pub jwt_jwks: Option<String>,
    /// The `iss` that user tokens must have.
    pub jwt_issuer: Option<String>,
    /// The `aud` that user tokens must hold.
    pub jwt_audience: Option<String>,
    /// Root of the keys of session and stream tokens, at least 32 bytes; `None`: the database keeps one.
    pub token_key: Option<SecretString>,
    /// Life of a session from its opening or last refresh.
    pub session_ttl: Duration,
    /// How long changes of presence are gathered.
    pub presence_interval: Duration,
    /// How long a session stays online without a stream.
    pub presence_grace: Duration,
    /// How many presences a list holds at most.
    pub presence_list: usize,
    /// After so long without a sign of life an instance counts as dead.
    pub lease: Duration,
    /// The longest silence of a stream.
    pub stream_keepalive: Duration,
    /// The longest life of a stream, before jitter.
    pub stream_max_age: Duration,
    /// How many missed entries of a topic a stream replays.
    pub stream_replay: u64,
    /// The longest content of a message, in bytes.
    pub max_content_bytes: usize,
    /// How many topics a session may have joined.
    pub max_joins: usize,
    /// Sends of a session; `None` is without limit, here and below.
    pub rate_sends: Option<Rate>,
    /// All calls of a session.
    pub rate_calls: Option<Rate>,
    /// New sessions from one address.
    pub rate_sessions: Option<Rate>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which web pages may call.
    pub cors_origins: CorsOrigins,
    /// Whether `/` is a page to chat in.
    pub web_client: bool,
    /// How long entries are kept; `None` is forever.
    pub history_ttl: Option<Duration>,
    /// A filter that `tracing_subscriber::EnvFilter` has accepted.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

impl Config {
    /// Judges the settings, each by itself and then together.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn check(settings: Settings) -> Result<Self, ConfigError> {
        let s = settings;
        let postgres = values::is_postgres("PARLOUR_DATABASE_URL", &s.database_url)?;
        let (ms, secs, hours) = (Duration::from_millis, Duration::from_secs, Duration::from_hours);
        let config = Self {
            listen: listen(s.listen.as_deref(), s.port.as_deref())?,
            database_pool: values::number("PARLOUR_DATABASE_POOL", &s.database_pool, 2..=1000)?,
            auto_migrate: values::switch("PARLOUR_AUTO_MIGRATE", &s.auto_migrate)?,
            bus: values::bus("PARLOUR_BUS", &s.bus, &s.database_url, postgres)?,
            device_accounts: device_accounts(&s)?,
            jwt_secret: secret("PARLOUR_JWT_SECRET", s.jwt_secret)?,
            jwt_jwks: text("PARLOUR_JWT_JWKS", s.jwt_jwks)?,
            jwt_issuer: text("PARLOUR_JWT_ISSUER", s.jwt_issuer)?,
            jwt_audience: text("PARLOUR_JWT_AUDIENCE", s.jwt_audience)?,
            token_key: secret("PARLOUR_TOKEN_KEY", s.token_key)?,
            session_ttl: duration("PARLOUR_SESSION_TTL", &s.session_ttl, secs(1)..=DAY * 365)?,
            presence_interval: duration("PARLOUR_PRESENCE_INTERVAL", &s.presence_interval, ms(10)..=secs(60))?,
            presence_grace: duration("PARLOUR_PRESENCE_GRACE", &s.presence_grace, ms(100)..=hours(1))?,
            presence_list: values::number("PARLOUR_PRESENCE_LIST", &s.presence_list, 1..=10_000)?,
            lease: duration("PARLOUR_LEASE", &s.lease, secs(1)..=secs(600))?,
            stream_keepalive: duration("PARLOUR_STREAM_KEEPALIVE", &s.stream_keepalive, ms(100)..=secs(300))?,
            stream_max_age: duration("PARLOUR_STREAM_MAX_AGE", &s.stream_max_age, secs(1)..=DAY * 7)?,
            stream_replay: values::number("PARLOUR_STREAM_REPLAY", &s.stream_replay, 1..=100_000)?,
            max_content_bytes: values::number("PARLOUR_MAX_CONTENT_BYTES", &s.max_content_bytes, 1..=1024 * 1024)?,
            max_joins: values::number("PARLOUR_MAX_JOINS", &s.max_joins, 1..=10_000)?,
            rate_sends: values::rate("PARLOUR_RATE_SENDS", &s.rate_sends)?,
            rate_calls: values::rate("PARLOUR_RATE_CALLS", &s.rate_calls)?,
            rate_sessions: values::rate("PARLOUR_RATE_SESSIONS", &s.rate_sessions)?,
            trusted_proxies: values::networks("PARLOUR_TRUSTED_PROXIES", s.trusted_proxies.as_deref().unwrap_or(""))?,
            cors_origins: values::origins("PARLOUR_CORS_ORIGINS", &s.cors_origins)?,
            web_client: values::switch("PARLOUR_WEB_CLIENT", &s.web_client)?,
            history_ttl: values::duration_or_forever("PARLOUR_HISTORY_TTL", &s.history_ttl, secs(1)..=DAY * 36_500)?,
            log: log_filter(s.log)?,
            log_format: log_format(&s.log_format)?,
            database_url: s.database_url,
        };
        config.check_identity()?;
        Ok(config)
    }

    /// Reads flags alone, without a program's name before them and whatever the variables say: for tests.
    ///
    /// # Errors
    /// An unknown flag, or a setting that cannot be.
    pub fn from_flags<I, S>(flags: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString> + Clone,
    {
        #[derive(Parser)]
        #[command(no_binary_name = true)]
        struct Flags {
            #[command(flatten)]
            settings: Settings,
        }
        let command = Flags::command().mut_args(|arg| arg.env(Resettable::Reset));
        let matches = command.try_get_matches_from(flags);
        let flags = matches.and_then(|matches| Flags::from_arg_matches(&matches)).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            ConfigError::new("flags", format!("cannot be read: {}", line.trim_start_matches("error: ")))
        })?;
        Self::check(flags.settings)
    }

    /// Whether somebody outside signs user tokens.
    pub fn has_issuer(&self) -> bool {
        self.jwt_secret.is_some() || self.jwt_jwks.is_some()
    }

    /// A half-configured issuer must not end in a service that lets in more, or other, users than was meant.
    fn check_identity(&self) -> Result<(), ConfigError> {
        if self.jwt_secret.is_some() && self.jwt_jwks.is_some() {
            return Err(ConfigError::new("PARLOUR_JWT_JWKS", "and PARLOUR_JWT_SECRET exclude each other: set one"));
        }
        let needs_issuer = "means nothing without PARLOUR_JWT_SECRET or PARLOUR_JWT_JWKS: set one of them";
        match (self.has_issuer(), &self.jwt_issuer, &self.jwt_audience) {
            (false, Some(_), _) => Err(ConfigError::new("PARLOUR_JWT_ISSUER", needs_issuer)),
            (false, None, Some(_)) => Err(ConfigError::new("PARLOUR_JWT_AUDIENCE", needs_issuer)),
            (false, None, None) if !self.device_accounts => Err(ConfigError::new(
                "PARLOUR_DEVICE_ACCOUNTS",
                "is off and no issuer is configured, so nobody could open a session: set PARLOUR_JWT_SECRET or \
                 PARLOUR_JWT_JWKS",
            )),
            _ => Ok(()),
        }
    }
}

fn listen(address: Option<&str>, port: Option<&str>) -> Result<SocketAddr, ConfigError> {
    match (address, port) {
        (Some(address), _) => address.parse().map_err(|_| {
            let takes = "takes an IP address and a port, like 127.0.0.1:8080 or [::]:8080";
            ConfigError::value("PARLOUR_LISTEN", address, takes)
        }),
        (None, Some(port)) => Ok((Ipv4Addr::UNSPECIFIED, values::number("PORT", port, 0..=u16::MAX)?).into()),
        (None, None) => Ok((Ipv4Addr::LOCALHOST, 8080).into()),
    }
}

fn device_accounts(settings: &Settings) -> Result<bool, ConfigError> {
    match settings.device_accounts.as_str() {
        "auto" => Ok(settings.jwt_secret.is_none() && settings.jwt_jwks.is_none()),
        given => values::switch("PARLOUR_DEVICE_ACCOUNTS", given),
    }
}

/// An empty one is refused like a short one: an unset variable in a deployment's template must not open the service.
fn secret(setting: &'static str, secret: Option<SecretString>) -> Result<Option<SecretString>, ConfigError> {
    match secret {
        Some(short) if short.expose_secret().len() < LEAST_SECRET_BYTES => {
            Err(ConfigError::new(setting, format!("must have at least {LEAST_SECRET_BYTES} bytes")))
        }
        fits => Ok(fits),
    }
}

fn text(setting: &'static str, text: Option<String>) -> Result<Option<String>, ConfigError> {
    match text {
        Some(text) if text.trim().is_empty() => {
            Err(ConfigError::new(setting, "is empty: give it a value or remove it"))
        }
        text => Ok(text),
    }
}

fn log_filter(filter: String) -> Result<String, ConfigError> {
    match EnvFilter::builder().parse(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => Err(ConfigError::value("PARLOUR_LOG", &filter, "takes a level, or levels like warn,parlour=debug")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, ConfigError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ConfigError::value("PARLOUR_LOG_FORMAT", text, "takes text or json")),
    }
}

#[cfg(test)]
mod tests;
