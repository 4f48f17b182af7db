//! The grammars of the settings: each function reads one kind of value, or says in a sentence what it takes.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::ConfigError;

/// How often something may be done: `count` times in `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many times.
    pub count: NonZeroU32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

/// By which way instances hint to each other.
#[derive(Clone, Debug)]
pub enum Bus {
    /// Within this process only: there is one instance.
    Local,
    /// LISTEN and NOTIFY over the database at this URL, which holds a password.
    Postgres(SecretString),
    /// The NATS server at this URL, which may hold a password.
    Nats(SecretString),
}

/// Which web pages may call the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Every one: no cookie is ever used, so a page can do no more than its reader could.
    Any,
    /// These origins, as browsers write them.
    List(Vec<HeaderValue>),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

type Result<T> = std::result::Result<T, ConfigError>;

/// Reads `500ms`, `15s`, `1h`, `1h 30m`, within `range`.
///
/// # Errors
/// Where the text is no duration with a unit, or one out of range.
pub fn duration(setting: &'static str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration> {
    match humantime::parse_duration(text) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        _ => {
            let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            let takes = format!("takes a duration from {least} to {most}, written like 500ms, 15s or 1h");
            Err(ConfigError::value(setting, text, takes))
        }
    }
}

/// Reads what [`duration`] does; `forever` is `None`.
pub(super) fn duration_or_forever(
    setting: &'static str,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>> {
    if text == "forever" { Ok(None) } else { duration(setting, text, range).map(Some) }
}

/// Reads a whole number within `range`.
pub(super) fn number<T>(setting: &'static str, text: &str, range: RangeInclusive<T>) -> Result<T>
where
    T: FromStr + PartialOrd + Display,
{
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let takes = format!("takes a whole number from {} to {}", range.start(), range.end());
            Err(ConfigError::value(setting, text, takes))
        }
    }
}

/// Reads `true` or `false`, also said as `on` and `off`.
pub(super) fn switch(setting: &'static str, text: &str) -> Result<bool> {
    match text {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(ConfigError::value(setting, text, "takes true or false")),
    }
}

/// Reads `20/s`, `600/m`, `1000/h`; `off` is `None`.
pub(super) fn rate(setting: &'static str, text: &str) -> Result<Option<Rate>> {
    const MOST: u32 = 1_000_000;
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
        let count = count.parse::<NonZeroU32>().ok().filter(|count| count.get() <= MOST)?;
        Some(Rate { count, per })
    };
    let takes = "takes a rate like 20/s, 600/m or 1000/h, from 1 to 1000000, or off";
    parse().map(Some).ok_or_else(|| ConfigError::value(setting, text, takes))
}

/// Reads networks separated by commas, each `10.0.0.0/8` or a single address.
pub(super) fn networks(setting: &'static str, text: &str) -> Result<Vec<IpNet>> {
    let read = |item: &str| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
    let takes = "takes networks like 10.0.0.0/8 or addresses, separated by commas";
    items(text).map(|item| read(item).ok_or_else(|| ConfigError::value(setting, item, takes))).collect()
}

/// Reads `*`, or origins separated by commas: a scheme, a host and perhaps a port, and nothing after them.
pub(super) fn origins(setting: &'static str, text: &str) -> Result<CorsOrigins> {
    if text.trim() == "*" {
        return Ok(CorsOrigins::Any);
    }
    let takes = "takes * or origins like https://chat.example.com, without a path, separated by commas";
    let origins: Result<Vec<_>> =
        items(text).map(|item| origin(item).ok_or_else(|| ConfigError::value(setting, item, takes))).collect();
    match origins? {
        origins if origins.is_empty() => Err(ConfigError::value(setting, text, takes)),
        origins => Ok(CorsOrigins::List(origins)),
    }
}

/// An origin as browsers write it, in lower case: a path or a trailing slash would match no request, ever.
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let scheme_fits = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let authority_fits =
        !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    if scheme_fits && authority_fits { HeaderValue::from_str(&text).ok() } else { None }
}

/// Reads the kind of a database from its URL. The URL is a secret, so the sentence does not repeat it.
pub(super) fn is_postgres(setting: &'static str, url: &SecretString) -> Result<bool> {
    let url = url.expose_secret();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(true);
    }
    if !url.starts_with("sqlite:") {
        return Err(ConfigError::new(setting, "must begin with sqlite: or postgres://"));
    }
    // Each connection to a database in memory would see one of its own.
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(ConfigError::new(setting, "must name a file: a database in memory cannot be shared"));
    }
    Ok(false)
}

/// Reads how instances hint to each other, which depends on the database.
pub(super) fn bus(setting: &'static str, text: &SecretString, database: &SecretString, postgres: bool) -> Result<Bus> {
    let given = text.expose_secret();
    match given {
        "local" => Ok(Bus::Local),
        "auto" if !postgres => Ok(Bus::Local),
        "auto" | "postgres" if postgres => Ok(Bus::Postgres(database.clone())),
        _ if given == "postgres" || is_url(given, &["postgres", "postgresql", "nats", "tls"]) => {
            if !postgres {
                let takes = "takes auto or local where the database is SQLite: its file has one instance";
                Err(ConfigError::new(setting, takes))
            } else if given.starts_with("postgres") {
                Ok(Bus::Postgres(text.clone()))
            } else {
                Ok(Bus::Nats(text.clone()))
            }
        }
        _ => Err(ConfigError::new(setting, "takes auto, local, postgres, postgres://… or nats://HOST:PORT")),
    }
}

/// Whether the text is a URL of one of these schemes, with something after it.
pub(super) fn is_url(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
