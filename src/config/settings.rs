//! The settings as an operator writes them: one flag and one variable for each, with the text that `parlour --help`
//! shows. [`Config::check`](super::Config::check) checks the values, so that every wrong value is refused in the same way.

use clap::Args;
use secrecy::SecretString;

const SERVICE: &str = "Service";
const DATABASE: &str = "Database";
const IDENTITY: &str = "Identity";
const PRESENCE: &str = "Presence";
const STREAMS: &str = "Streams";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// Every setting, unchecked. Each is a flag, before or after the subcommand, or a variable. The flag takes precedence.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Address and port to listen on [default: 127.0.0.1:8080, or 0.0.0.0:$PORT where a platform sets PORT]
    #[arg(long, env = "PARLOUR_LISTEN", global = true, value_name = "ADDRESS", help_heading = SERVICE)]
    pub listen: Option<String>,

    /// The port, as serverless platforms set it. `listen` takes precedence.
    #[arg(long, env = "PORT", global = true, hide = true)]
    pub port: Option<String>,

    /// How instances notify each other: `local` (there is one instance), `postgres` (over the database), `postgres://…` (a
    /// direct address, if the database is behind a pooler), `nats://HOST:PORT`, or `auto`, which means `postgres` if the
    /// database is PostgreSQL and `local` otherwise
    #[arg(
        long,
        env = "PARLOUR_BUS",
        hide_env_values = true,
        global = true,
        value_name = "BUS",
        default_value = "auto",
        help_heading = SERVICE
    )]
    pub bus: SecretString,

    /// Networks of your own proxies, separated by commas. The header X-Forwarded-For is trusted from these only
    /// [default: none]
    #[arg(long, env = "PARLOUR_TRUSTED_PROXIES", global = true, value_name = "NETWORKS", help_heading = SERVICE)]
    pub trusted_proxies: Option<String>,

    /// Origins of web pages that may call the service, separated by commas. `*` is safe, because the service uses no cookies
    #[arg(
        long,
        env = "PARLOUR_CORS_ORIGINS",
        global = true,
        value_name = "ORIGINS",
        default_value = "*",
        help_heading = SERVICE
    )]
    pub cors_origins: String,

    /// Serve the web client at `/`
    #[arg(
        long,
        env = "PARLOUR_WEB_CLIENT",
        global = true,
        value_name = "BOOL",
        default_value = "true",
        help_heading = SERVICE
    )]
    pub web_client: String,

    /// The database: a SQLite file, or `postgres://USER:PASSWORD@HOST/DATABASE`
    #[arg(
        long,
        env = "PARLOUR_DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL",
        default_value = "sqlite://parlour.db?mode=rwc",
        help_heading = DATABASE
    )]
    pub database_url: SecretString,

    /// Number of database connections that the calls of one instance share; on SQLite at most two per core
    #[arg(
        long,
        env = "PARLOUR_DATABASE_POOL",
        global = true,
        value_name = "COUNT",
        default_value = "10",
        help_heading = DATABASE
    )]
    pub database_pool: String,

    /// Update the tables at start. With `false`, run `parlour migrate` before you start a new version
    #[arg(
        long,
        env = "PARLOUR_AUTO_MIGRATE",
        global = true,
        value_name = "BOOL",
        default_value = "true",
        help_heading = DATABASE
    )]
    pub auto_migrate: String,

    /// How long messages are kept, or `forever`. The messages that remain keep their numbers
    #[arg(
        long,
        env = "PARLOUR_HISTORY_TTL",
        global = true,
        value_name = "DURATION",
        default_value = "forever",
        help_heading = DATABASE
    )]
    pub history_ttl: String,

    /// Create an account on first use of a device id, which the client keeps secret: `true`, `false`, or `auto`, which
    /// means `true` if no issuer of user tokens is configured
    #[arg(
        long,
        env = "PARLOUR_DEVICE_ACCOUNTS",
        global = true,
        value_name = "BOOL",
        default_value = "auto",
        help_heading = IDENTITY
    )]
    pub device_accounts: String,

    /// Secret of at least 32 bytes with which your login signs user tokens (JWT, HS256). Set it as a variable: other users
    /// of the machine can see flags
    #[arg(
        long,
        env = "PARLOUR_JWT_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "SECRET",
        help_heading = IDENTITY
    )]
    pub jwt_secret: Option<SecretString>,

    /// Public keys of your login, instead of a secret: a JWKS file or its URL (RS256, ES256, EdDSA)
    #[arg(long, env = "PARLOUR_JWT_JWKS", global = true, value_name = "FILE|URL", help_heading = IDENTITY)]
    pub jwt_jwks: Option<String>,

    /// The required claim `iss` of user tokens [default: anything]
    #[arg(long, env = "PARLOUR_JWT_ISSUER", global = true, value_name = "TEXT", help_heading = IDENTITY)]
    pub jwt_issuer: Option<String>,

    /// The audience that the claim `aud` of user tokens must contain [default: anything]
    #[arg(long, env = "PARLOUR_JWT_AUDIENCE", global = true, value_name = "TEXT", help_heading = IDENTITY)]
    pub jwt_audience: Option<String>,

    /// Secret of at least 32 bytes that signs the service's own tokens. A new one ends every session
    /// [default: made once, kept in the database]
    #[arg(
        long,
        env = "PARLOUR_TOKEN_KEY",
        hide_env_values = true,
        global = true,
        value_name = "SECRET",
        help_heading = IDENTITY
    )]
    pub token_key: Option<SecretString>,

    /// How long a session is valid unless its client refreshes it
    #[arg(
        long,
        env = "PARLOUR_SESSION_TTL",
        global = true,
        value_name = "DURATION",
        default_value = "24h",
        help_heading = IDENTITY
    )]
    pub session_ttl: String,

    /// Interval at which a stream sends changes of presence, all of a topic in one event
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_INTERVAL",
        global = true,
        value_name = "DURATION",
        default_value = "1s",
        help_heading = PRESENCE
    )]
    pub presence_interval: String,

    /// How long a session stays online after its stream has closed. Others do not see an interruption shorter than this
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_GRACE",
        global = true,
        value_name = "DURATION",
        default_value = "15s",
        help_heading = PRESENCE
    )]
    pub presence_grace: String,

    /// Largest presence list of a topic. If more sessions are present, the rest is only counted
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_LIST",
        global = true,
        value_name = "COUNT",
        default_value = "500",
        help_heading = PRESENCE
    )]
    pub presence_list: String,

    /// Life of an instance's lease. An instance that does not renew it in time counts as dead, and its sessions as offline
    #[arg(
        long,
        env = "PARLOUR_LEASE",
        global = true,
        value_name = "DURATION",
        default_value = "10s",
        help_heading = PRESENCE
    )]
    pub lease: String,

    /// Interval at which a stream without events sends a comment, so that proxies do not close it
    #[arg(
        long,
        env = "PARLOUR_STREAM_KEEPALIVE",
        global = true,
        value_name = "DURATION",
        default_value = "15s",
        help_heading = STREAMS
    )]
    pub stream_keepalive: String,

    /// Age at which a stream is closed. Its client reconnects, possibly to another instance
    #[arg(
        long,
        env = "PARLOUR_STREAM_MAX_AGE",
        global = true,
        value_name = "DURATION",
        default_value = "1h",
        help_heading = STREAMS
    )]
    pub stream_max_age: String,

    /// Largest number of missed messages of a topic that a stream sends. A client reads older ones as history
    #[arg(
        long,
        env = "PARLOUR_STREAM_REPLAY",
        global = true,
        value_name = "COUNT",
        default_value = "1000",
        help_heading = STREAMS
    )]
    pub stream_replay: String,

    /// Longest content of a message, in bytes
    #[arg(
        long,
        env = "PARLOUR_MAX_CONTENT_BYTES",
        global = true,
        value_name = "BYTES",
        default_value = "16384",
        help_heading = LIMITS
    )]
    pub max_content_bytes: String,

    /// Topics that one session may have joined at a time
    #[arg(
        long,
        env = "PARLOUR_MAX_JOINS",
        global = true,
        value_name = "COUNT",
        default_value = "200",
        help_heading = LIMITS
    )]
    pub max_joins: String,

    /// Rate limit of the messages that one session sends: `20/s`, `600/m`, or `off`
    #[arg(
        long,
        env = "PARLOUR_RATE_SENDS",
        global = true,
        value_name = "RATE",
        default_value = "20/s",
        help_heading = LIMITS
    )]
    pub rate_sends: String,

    /// Rate limit of all calls of one session
    #[arg(
        long,
        env = "PARLOUR_RATE_CALLS",
        global = true,
        value_name = "RATE",
        default_value = "100/s",
        help_heading = LIMITS
    )]
    pub rate_calls: String,

    /// Rate limit of the sessions that are opened from one address
    #[arg(
        long,
        env = "PARLOUR_RATE_SESSIONS",
        global = true,
        value_name = "RATE",
        default_value = "10/s",
        help_heading = LIMITS
    )]
    pub rate_sessions: String,

    /// Log level: `error`, `warn`, `info`, `debug`, `trace`, or levels by module, as in `warn,parlour=debug`
    #[arg(long, env = "PARLOUR_LOG", global = true, value_name = "FILTER", default_value = "info", help_heading = LOGS)]
    pub log: String,

    /// Format of log lines: `text` for people, `json` for programs
    #[arg(
        long,
        env = "PARLOUR_LOG_FORMAT",
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = LOGS
    )]
    pub log_format: String,
}
