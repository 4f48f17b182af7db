//! Every setting of the service, from flags and `PARLOUR_*` variables. `main` reads them as [`Settings`], and
//! [`Config::check`] parses and checks them once, at start. It refuses a wrong setting with a sentence that names it. The
//! values of a [`Config`] are not checked again.

mod error;
mod settings;
mod values;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use tracing_subscriber::EnvFilter;

pub use error::ConfigError;
pub use settings::Settings;
pub use values::{BusSetting, CorsOrigins, LogFormat, Rate, duration};

/// The shortest secret, in bytes. A shorter key could be guessed offline (RFC 7518 §3.2 requires as many bits as the hash of
/// HS256 has).
const MIN_SECRET_BYTES: usize = 32;
const DAY: Duration = Duration::from_hours(24);

/// The checked settings. Each value is within its bounds, and the values fit each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The URL of the database: `sqlite:…`, `postgres://…` or `postgresql://…`. It may hold a password.
    pub database_url: SecretString,
    /// The number of database connections that calls share, 2 to 1000.
    pub database_pool: u32,
    /// True if the tables are migrated at start.
    pub auto_migrate: bool,
    /// The carrier of hints between instances.
    pub bus: BusSetting,
    /// True if a `device_id` opens a session.
    pub device_accounts: bool,
    /// The secret that signs user tokens (HS256), at least 32 bytes. At most one of this and `jwt_jwks` is set.
    pub jwt_secret: Option<SecretString>,
    /// The issuer's public keys: a file's path, or an `https://` or `http://` URL.
    pub jwt_jwks: Option<String>,
    /// The `iss` that user tokens must have.
    pub jwt_issuer: Option<String>,
    /// The `aud` that user tokens must hold.
    pub jwt_audience: Option<String>,
    /// The root key of session and stream tokens, at least 32 bytes. If it is `None`, the key in the database is used.
    pub token_key: Option<SecretString>,
    /// The life of a session from its opening or last refresh.
    pub session_ttl: Duration,
    /// The interval between two differences of presence on a stream.
    pub presence_interval: Duration,
    /// The time for which a session stays online after its stream has closed.
    pub presence_grace: Duration,
    /// The largest number of presences in a list.
    pub presence_list: usize,
    /// The life of an instance's lease. An instance that does not renew it in time counts as dead.
    pub lease: Duration,
    /// The longest time between two writes to a stream.
    pub stream_keepalive: Duration,
    /// The longest life of a stream, before jitter.
    pub stream_max_age: Duration,
    /// The largest number of missed entries of a topic that a stream replays.
    pub stream_replay: u64,
    /// The longest content of a message, in bytes.
    pub max_content_bytes: usize,
    /// The largest number of topics that a session may have joined.
    pub max_joins: usize,
    /// The limit on the sends of a session. `None` means no limit, here and below.
    pub rate_sends: Option<Rate>,
    /// The limit on all calls of a session.
    pub rate_calls: Option<Rate>,
    /// The limit on new sessions from one address.
    pub rate_sessions: Option<Rate>,
    /// The networks of proxies whose header `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins of web pages that may call the service.
    pub cors_origins: CorsOrigins,
    /// True if the web client is served at `/`.
    pub web_client: bool,
    /// The age at which entries are pruned. `None` keeps them forever.
    pub history_ttl: Option<Duration>,
    /// A filter that `tracing_subscriber::EnvFilter` has accepted.
    pub log: String,
    /// The format of log lines.
    pub log_format: LogFormat,
}

impl Config {
    /// Parses and checks the settings, each by itself and then together.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is wrong.
    pub fn check(settings: Settings) -> Result<Self, ConfigError> {
        let s = settings;
        let postgres = values::is_postgres("PARLOUR_DATABASE_URL", &s.database_url)?;
        let ms = Duration::from_millis;
        let secs = Duration::from_secs;
        let hours = Duration::from_hours;
        let config = Self {
            listen: listen(s.listen.as_deref(), s.port.as_deref())?,
            database_pool: values::number("PARLOUR_DATABASE_POOL", &s.database_pool, 2..=1000)?,
            auto_migrate: values::boolean("PARLOUR_AUTO_MIGRATE", &s.auto_migrate)?,
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
            web_client: values::boolean("PARLOUR_WEB_CLIENT", &s.web_client)?,
            history_ttl: values::duration_or_forever("PARLOUR_HISTORY_TTL", &s.history_ttl, secs(1)..=DAY * 36_500)?,
            log: log_filter(s.log)?,
            log_format: log_format(&s.log_format)?,
            database_url: s.database_url,
        };
        config.check_identity()?;
        Ok(config)
    }

    /// Parses and checks flags, without the name of a program before them. Variables are ignored. This is for tests.
    ///
    /// # Errors
    /// [`ConfigError`] for an unknown flag, or for the first setting that is wrong.
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

    /// Reports whether an issuer of user tokens is configured.
    pub fn has_issuer(&self) -> bool {
        self.jwt_secret.is_some() || self.jwt_jwks.is_some()
    }

    /// Checks that the issuer is configured completely. Otherwise the service could admit more users, or other users, than
    /// its operator intends.
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
            ConfigError::wrong_value("PARLOUR_LISTEN", address, takes)
        }),
        (None, Some(port)) => Ok((Ipv4Addr::UNSPECIFIED, values::number("PORT", port, 0..=u16::MAX)?).into()),
        (None, None) => Ok((Ipv4Addr::LOCALHOST, 8080).into()),
    }
}

fn device_accounts(settings: &Settings) -> Result<bool, ConfigError> {
    match settings.device_accounts.as_str() {
        "auto" => Ok(settings.jwt_secret.is_none() && settings.jwt_jwks.is_none()),
        given => values::boolean("PARLOUR_DEVICE_ACCOUNTS", given),
    }
}

/// Checks the length of a secret. An empty one is refused like a short one: an unset variable in the template of a
/// deployment must not leave the service open.
fn secret(setting: &'static str, secret: Option<SecretString>) -> Result<Option<SecretString>, ConfigError> {
    match secret {
        Some(short) if short.expose_secret().len() < MIN_SECRET_BYTES => {
            Err(ConfigError::new(setting, format!("must have at least {MIN_SECRET_BYTES} bytes")))
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
        Err(_) => {
            Err(ConfigError::wrong_value("PARLOUR_LOG", &filter, "takes a level, or levels like warn,parlour=debug"))
        }
    }
}

fn log_format(text: &str) -> Result<LogFormat, ConfigError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ConfigError::wrong_value("PARLOUR_LOG_FORMAT", text, "takes text or json")),
    }
}

#[cfg(test)]
mod tests;
