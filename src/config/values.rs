//! The parsers of the settings. Each function parses one kind of value, or returns a sentence that says what it takes.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::ConfigError;

/// A rate limit: `count` times in each period `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of times, 1 to 1,000,000.
    pub count: NonZeroU32,
    /// The period: a second, a minute or an hour.
    pub per: Duration,
}

/// The carrier of hints between instances.
#[derive(Clone, Debug)]
pub enum BusSetting {
    /// None: there is one instance.
    Local,
    /// LISTEN and NOTIFY over the database at this URL, which may hold a password.
    Postgres(SecretString),
    /// The NATS server at this URL, or several, separated by commas. The URL may hold a password.
    Nats(SecretString),
}

/// The origins of web pages that may call the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Every origin. The service uses no cookies, so a page can do no more than its reader can.
    Any,
    /// These origins, as browsers write them in the header `Origin`.
    List(Vec<HeaderValue>),
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

type Result<T> = std::result::Result<T, ConfigError>;

/// Parses a duration such as `500ms`, `15s`, `1h` or `1h 30m`, within `range`.
///
/// # Errors
/// [`ConfigError`] if the text is no duration with a unit, or if the duration is out of range.
pub fn duration(setting: &'static str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration> {
    match humantime::parse_duration(text) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        _ => {
            let min = humantime::format_duration(*range.start());
            let max = humantime::format_duration(*range.end());
            let takes = format!("takes a duration from {min} to {max}, written like 500ms, 15s or 1h");
            Err(ConfigError::wrong_value(setting, text, takes))
        }
    }
}

/// Parses the same as [`duration`], and `forever` as `None`.
pub(super) fn duration_or_forever(
    setting: &'static str,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>> {
    if text == "forever" { Ok(None) } else { duration(setting, text, range).map(Some) }
}

/// Parses a whole number within `range`.
pub(super) fn number<T>(setting: &'static str, text: &str, range: RangeInclusive<T>) -> Result<T>
where
    T: FromStr + PartialOrd + Display,
{
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let takes = format!("takes a whole number from {} to {}", range.start(), range.end());
            Err(ConfigError::wrong_value(setting, text, takes))
        }
    }
}

/// Parses `true` or `on`, and `false` or `off`.
pub(super) fn boolean(setting: &'static str, text: &str) -> Result<bool> {
    match text {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(ConfigError::wrong_value(setting, text, "takes true or false")),
    }
}

/// Parses a rate such as `20/s`, `600/m` or `1000/h`, and `off` as `None`.
pub(super) fn rate(setting: &'static str, text: &str) -> Result<Option<Rate>> {
    const MAX_COUNT: u32 = 1_000_000;
    if text == "off" {
        return Ok(None);
    }
    let parse = || {
        let (count, unit) = text.split_once('/')?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        let count = count.parse::<NonZeroU32>().ok().filter(|count| count.get() <= MAX_COUNT)?;
        Some(Rate { count, per })
    };
    let takes = "takes a rate like 20/s, 600/m or 1000/h, from 1 to 1000000, or off";
    parse().map(Some).ok_or_else(|| ConfigError::wrong_value(setting, text, takes))
}

/// Parses networks such as `10.0.0.0/8` and single addresses, separated by commas.
pub(super) fn networks(setting: &'static str, text: &str) -> Result<Vec<IpNet>> {
    let parse = |item: &str| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
    let takes = "takes networks like 10.0.0.0/8 or addresses, separated by commas";
    items(text).map(|item| parse(item).ok_or_else(|| ConfigError::wrong_value(setting, item, takes))).collect()
}

/// Parses `*`, or origins separated by commas. An origin is a scheme, a host and possibly a port, without a path.
pub(super) fn origins(setting: &'static str, text: &str) -> Result<CorsOrigins> {
    if text.trim() == "*" {
        return Ok(CorsOrigins::Any);
    }
    let takes = "takes * or origins like https://chat.example.com, without a path, separated by commas";
    let origins: Result<Vec<_>> =
        items(text).map(|item| origin(item).ok_or_else(|| ConfigError::wrong_value(setting, item, takes))).collect();
    match origins? {
        origins if origins.is_empty() => Err(ConfigError::wrong_value(setting, text, takes)),
        origins => Ok(CorsOrigins::List(origins)),
    }
}

/// Parses an origin and returns it as browsers write it, in lower case. An origin with a path or a trailing slash is
/// refused, because it would match no request.
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let scheme_fits = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let authority_fits =
        !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    if scheme_fits && authority_fits { HeaderValue::from_str(&text).ok() } else { None }
}

/// Reports whether a URL names a PostgreSQL database; otherwise it names a SQLite file. The URL may hold a password, so
/// the error does not repeat it.
pub(super) fn is_postgres(setting: &'static str, url: &SecretString) -> Result<bool> {
    let url = url.expose_secret();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(true);
    }
    if !url.starts_with("sqlite:") {
        return Err(ConfigError::new(setting, "must begin with sqlite: or postgres://"));
    }
    // Each connection to a database in memory would open a database of its own.
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(ConfigError::new(setting, "must name a file: a database in memory cannot be shared"));
    }
    Ok(false)
}

/// Parses the carrier of hints. Its default and its choices depend on the database.
pub(super) fn bus(
    setting: &'static str,
    text: &SecretString,
    database: &SecretString,
    postgres: bool,
) -> Result<BusSetting> {
    let given = text.expose_secret();
    match given {
        "local" => Ok(BusSetting::Local),
        "auto" if !postgres => Ok(BusSetting::Local),
        "auto" | "postgres" if postgres => Ok(BusSetting::Postgres(database.clone())),
        _ if given == "postgres" || is_url(given, &["postgres", "postgresql", "nats", "tls"]) => {
            if !postgres {
                let takes = "takes auto or local where the database is SQLite: its file has one instance";
                Err(ConfigError::new(setting, takes))
            } else if given.starts_with("postgres") {
                Ok(BusSetting::Postgres(text.clone()))
            } else {
                Ok(BusSetting::Nats(text.clone()))
            }
        }
        _ => Err(ConfigError::new(setting, "takes auto, local, postgres, postgres://… or nats://HOST:PORT")),
    }
}

/// Reports whether the text is a URL of one of these schemes, with something after the scheme.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
