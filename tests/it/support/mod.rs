//! The tests' harness: a service to call ([`TestApp`] in this process, [`ServerProcess`] as the real binary), a
//! database of its own for each, sessions that speak HTTP, and readers of the stream. It uses nothing of the crate but
//! its start.

mod api;
mod app;
mod browser;
mod cluster;
mod connection;
mod database;
mod group;
mod nats;
mod overload;
mod postgres;
mod process;
mod proxy;
mod random;
mod raw_stream;
mod session;
mod settings;
mod sse;
mod stream;
mod tally;
mod token;
pub(crate) mod tools;

pub(crate) use api::{Api, Reply, encode};
pub(crate) use app::TestApp;
pub(crate) use browser::{Chromium, Screen, Tab};
pub(crate) use cluster::{Cluster, Route};
pub(crate) use connection::Connection;
pub(crate) use database::{DatabaseConnection, TestDatabase};
pub(crate) use group::{Group, announced, entry, role_entry, silent, until_left, whole_list};
pub(crate) use overload::OVERLOAD_DEADLINE;
pub(crate) use process::{ServerProcess, run_command};
pub(crate) use proxy::{Proxy, Speech};
pub(crate) use random::Random;
pub(crate) use raw_stream::RawStream;
pub(crate) use session::{Page, Session, messages_of, path_of};
pub(crate) use stream::{DEADLINE, Event, EventStream, Next, START_DEADLINE};
pub(crate) use tally::{PresenceView, Tally};
pub(crate) use token::{SECRET, claims, signed, unsigned, user_token};

use serde_json::Value;

/// A member of a JSON object as text; its absence fails the test and shows the object.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {value}"))
}

/// A member of a JSON object as a whole number; its absence fails the test and shows the object.
pub(crate) fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("{member} is no whole number in {value}"))
}

/// A member of a JSON object as a list; its absence fails the test and shows the object.
pub(crate) fn list<'a>(value: &'a Value, member: &str) -> &'a Vec<Value> {
    value[member].as_array().unwrap_or_else(|| panic!("{member} is no list in {value}"))
}

/// The names of an object's members, sorted, to compare a shape exactly.
pub(crate) fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The sequence numbers of messages, in the order given.
pub(crate) fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| number(message, "seq")).collect()
}

/// The contents of messages, in the order given.
pub(crate) fn contents(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| message["content"].clone()).collect()
}
