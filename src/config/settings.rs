//! What a person writes: one flag and one variable for each setting, with the text that `parlour --help` shows.
//! Nothing is judged here; [`Config::check`](super::Config::check) does, so that every wrong value is refused in the
//! same words.

use clap::Args;
use secrecy::SecretString;

const SERVICE: &str = "Service";
const DATABASE: &str = "Database";
const IDENTITY: &str = "Identity";
const PRESENCE: &str = "Presence";
const STREAMS: &str = "Streams";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// Every setting, unchecked. Each is a flag, before or after the subcommand, or a variable; the flag wins.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Address and port to listen on [default: 127.0.0.1:8080, or 0.0.0.0:$PORT where a platform sets PORT]
    #[arg(long, env = "PARLOUR_LISTEN", global = true, value_name = "ADDRESS", help_heading = SERVICE)]
    pub listen: Option<String>,

    /// What serverless platforms set; `listen` goes before it.
    #[arg(long, env = "PORT", global = true, hide = true)]
    pub port: Option<String>,

    /// How instances tell each other what is new: `local` (there is one), `postgres` (over the database),
    /// `postgres://…` (a direct address, where the database sits behind a pooler), `nats://HOST:PORT`, or `auto`: over
    /// the database where it is PostgreSQL
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

    /// Networks of your own proxies, separated by commas: their X-Forwarded-For header is believed, nobody else's is
    /// [default: none]
    #[arg(long, env = "PARLOUR_TRUSTED_PROXIES", global = true, value_name = "NETWORKS", help_heading = SERVICE)]
    pub trusted_proxies: Option<String>,

    /// Web origins that may call the service, separated by commas; `*` is safe, as no cookie is ever used
    #[arg(
        long,
        env = "PARLOUR_CORS_ORIGINS",
        global = true,
        value_name = "ORIGINS",
        default_value = "*",
        help_heading = SERVICE
    )]
    pub cors_origins: String,

    /// Whether `/` is a web page to chat in
    #[arg(
        long,
        env = "PARLOUR_WEB_CLIENT",
        global = true,
        value_name = "BOOL",
        default_value = "true",
        help_heading = SERVICE
    )]
    pub web_client: String,

    /// Where everything is kept: a SQLite file, or `postgres://USER:PASSWORD@HOST/DATABASE`
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

    /// Connections to the database that one instance shares among its calls; on SQLite at most two per core
    #[arg(
        long,
        env = "PARLOUR_DATABASE_POOL",
        global = true,
        value_name = "COUNT",
        default_value = "10",
        help_heading = DATABASE
    )]
    pub database_pool: String,

    /// Bring the tables up to date at start; with `false`, run `parlour migrate` before a new version
    #[arg(
        long,
        env = "PARLOUR_AUTO_MIGRATE",
        global = true,
        value_name = "BOOL",
        default_value = "true",
        help_heading = DATABASE
    )]
    pub auto_migrate: String,

    /// How long messages are kept, or `forever`; what is left keeps its numbers
    #[arg(
        long,
        env = "PARLOUR_HISTORY_TTL",
        global = true,
        value_name = "DURATION",
        default_value = "forever",
        help_heading = DATABASE
    )]
    pub history_ttl: String,

    /// Accounts made on first use for a device id that the client keeps secret: `true`, `false`, or `auto`, which is
    /// true where no issuer of user tokens is configured
    #[arg(
        long,
        env = "PARLOUR_DEVICE_ACCOUNTS",
        global = true,
        value_name = "BOOL",
        default_value = "auto",
        help_heading = IDENTITY
    )]
    pub device_accounts: String,

    /// Secret of at least 32 bytes with which your login signs user tokens (JWT, HS256); better given as a variable
    /// than as a flag, which others on the machine can see
    #[arg(
        long,
        env = "PARLOUR_JWT_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "SECRET",
        help_heading = IDENTITY
    )]
    pub jwt_secret: Option<SecretString>,

    /// Instead of a secret: the public keys of your login's user tokens (RS256, ES256, EdDSA), a JWKS file or its URL
    #[arg(long, env = "PARLOUR_JWT_JWKS", global = true, value_name = "FILE|URL", help_heading = IDENTITY)]
    pub jwt_jwks: Option<String>,

    /// What the `iss` of user tokens must be [default: anything]
    #[arg(long, env = "PARLOUR_JWT_ISSUER", global = true, value_name = "TEXT", help_heading = IDENTITY)]
    pub jwt_issuer: Option<String>,

    /// What the `aud` of user tokens must hold [default: anything]
    #[arg(long, env = "PARLOUR_JWT_AUDIENCE", global = true, value_name = "TEXT", help_heading = IDENTITY)]
    pub jwt_audience: Option<String>,

    /// Secret of at least 32 bytes that signs the service's own tokens; a new one ends every session
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

    /// How long a session lives unless its client refreshes it
    #[arg(
        long,
        env = "PARLOUR_SESSION_TTL",
        global = true,
        value_name = "DURATION",
        default_value = "24h",
        help_heading = IDENTITY
    )]
    pub session_ttl: String,

    /// Changes of who is present are gathered for so long, and told as one
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_INTERVAL",
        global = true,
        value_name = "DURATION",
        default_value = "1s",
        help_heading = PRESENCE
    )]
    pub presence_interval: String,

    /// Whoever is back within this time has never been away for the others
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_GRACE",
        global = true,
        value_name = "DURATION",
        default_value = "15s",
        help_heading = PRESENCE
    )]
    pub presence_grace: String,

    /// Where more than so many are present, only these are listed, and the rest counted
    #[arg(
        long,
        env = "PARLOUR_PRESENCE_LIST",
        global = true,
        value_name = "COUNT",
        default_value = "500",
        help_heading = PRESENCE
    )]
    pub presence_list: String,

    /// After so long without a sign of life an instance counts as dead, and those connected to it as gone
    #[arg(
        long,
        env = "PARLOUR_LEASE",
        global = true,
        value_name = "DURATION",
        default_value = "10s",
        help_heading = PRESENCE
    )]
    pub lease: String,

    /// A stream without events sends a comment so often, or proxies would cut it
    #[arg(
        long,
        env = "PARLOUR_STREAM_KEEPALIVE",
        global = true,
        value_name = "DURATION",
        default_value = "15s",
        help_heading = STREAMS
    )]
    pub stream_keepalive: String,

    /// After so long a stream is ended, and its client comes back, perhaps to another instance
    #[arg(
        long,
        env = "PARLOUR_STREAM_MAX_AGE",
        global = true,
        value_name = "DURATION",
        default_value = "1h",
        help_heading = STREAMS
    )]
    pub stream_max_age: String,

    /// Who was away receives at most so many missed messages of each topic; what came before is read as history
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

    /// Messages that one session may send: `20/s`, `600/m`, or `off`
    #[arg(
        long,
        env = "PARLOUR_RATE_SENDS",
        global = true,
        value_name = "RATE",
        default_value = "20/s",
        help_heading = LIMITS
    )]
    pub rate_sends: String,

    /// Calls of every kind that one session may make
    #[arg(
        long,
        env = "PARLOUR_RATE_CALLS",
        global = true,
        value_name = "RATE",
        default_value = "100/s",
        help_heading = LIMITS
    )]
    pub rate_calls: String,

    /// Sessions that may be opened from one address
    #[arg(
        long,
        env = "PARLOUR_RATE_SESSIONS",
        global = true,
        value_name = "RATE",
        default_value = "10/s",
        help_heading = LIMITS
    )]
    pub rate_sessions: String,

    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or by module, as in `warn,parlour=debug`
    #[arg(long, env = "PARLOUR_LOG", global = true, value_name = "FILTER", default_value = "info", help_heading = LOGS)]
    pub log: String,

    /// `text` for people, `json` for machines
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
