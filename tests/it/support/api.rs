//! Calls over HTTP and their replies. Every reply is checked here for what the contract says of all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::overload::Overload;

/// The characters that a client must percent-encode in a path's segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'~').remove(b'.').remove(b'_').remove(b'-');

/// The time after which a call fails. The longest poll takes 30 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// A topic's or user's id as a path's segment or a query's value.
pub(crate) fn encode(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// A running service, as a client sees it: one address; or several, of which each call takes one at random.
#[derive(Clone)]
pub(crate) struct Api {
    bases: Arc<[String]>,
    http: Client,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::of_all(&[address])
    }

    /// Several instances of one service; each call goes to one of them at random.
    pub(crate) fn of_all(addresses: &[SocketAddr]) -> Self {
        // The client needs a TLS provider even for plain HTTP, and comes without one, as the service's own client does.
        // The second installation fails, and that is ignored.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { bases: addresses.iter().map(|address| format!("http://{address}")).collect(), http }
    }

    /// The address of one of the instances, at random.
    pub(crate) fn base(&self) -> &str {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        // A well-mixed counter: the choice has no pattern that a test's calls could follow.
        let mixed = CALLS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.bases[(mixed >> 40) % self.bases.len()]
    }

    /// An `Api` for each single instance.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        self.bases.iter().map(|base| Self { bases: [base.clone()].into(), http: self.http.clone() })
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let described = format!("{method} {path}");
        Call { request: self.http.request(method, format!("{}{path}", self.base())), described }
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// True if every instance answers within five seconds that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        for instance in self.each() {
            let asked = tokio::time::timeout(Duration::from_secs(5), instance.get("/readyz").try_send()).await;
            if !asked.is_ok_and(|answered| answered.is_ok_and(|reply| reply.status == 200)) {
                return false;
            }
        }
        true
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }
}

pub(crate) struct Call {
    request: RequestBuilder,
    described: String,
}

impl Call {
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.request = self.request.header(name, reqwest::header::HeaderValue::from_bytes(value).unwrap());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// A body as JSON, byte for byte as given.
    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header("content-type", "application/json").body(body);
        self
    }

    /// Sends the call as a client does: what an overloaded service refuses with 503 is sent again after its
    /// `Retry-After`.
    pub(crate) async fn send(mut self) -> Reply {
        let (described, mut overload) = (self.described.clone(), Overload::new());
        loop {
            let again = self.request.try_clone();
            let reply = self.try_send().await.unwrap_or_else(|error| panic!("{described}: {error:?}"));
            match again {
                Some(request) if reply.status == 503 && overload.is_one() => {
                    overload.wait(Duration::from_secs(reply.header("retry-after").parse().unwrap())).await;
                    self = Self { request, described: described.clone() };
                }
                _ => return reply,
            }
        }
    }

    /// Sends the call once, for tests in which the service or its database may be down. The error is a connection that
    /// failed or broke.
    pub(crate) async fn try_send(self) -> Result<Reply, reqwest::Error> {
        let response = self.request.timeout(CALL_TIMEOUT).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Reply { described: self.described, status, headers, body: response.bytes().await?.to_vec() };
        assert!(!reply.header("x-request-id").is_empty(), "an answer without x-request-id: {reply:?}");
        if reply.status >= 400 {
            reply.check_problem();
        }
        Ok(reply)
    }

    /// Like [`Self::open`], if the service may be down.
    pub(crate) async fn try_open(self) -> Option<reqwest::Response> {
        self.request.send().await.ok()
    }

    /// Sends, and reads only the head of the response; the caller reads the body.
    pub(crate) async fn open(self) -> reqwest::Response {
        let described = self.described;
        self.request.send().await.unwrap_or_else(|error| panic!("{described}: {error:?}"))
    }
}

pub(crate) struct Reply {
    described: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body: String = self.text().chars().take(2_000).collect();
        write!(f, "{} -> {} {:?} {body}", self.described, self.status, self.headers)
    }
}

impl Reply {
    /// The header's value; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status and returns the body.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if status == 204 {
            assert!(self.body.is_empty(), "204 has no body: {self:?}");
            return Value::Null;
        }
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        self.json()
    }

    /// Checks that the reply is a refusal with this status, and returns its `code`.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        super::text(&self.json(), "code").to_owned()
    }

    /// Like [`Self::refused`], with any of these statuses: the contract does not name a single one.
    pub(crate) fn refused_as(&self, statuses: &[u16]) -> String {
        assert!(statuses.contains(&self.status), "one of {statuses:?} expected: {self:?}");
        super::text(&self.json(), "code").to_owned()
    }

    /// Checks a refusal against RFC 9457 and what the contract adds to it.
    fn check_problem(&self) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        let code = super::text(&problem, "code");
        let slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(!code.is_empty() && code.bytes().all(slug), "a code is a slug: {self:?}");
        assert_eq!(super::text(&problem, "type"), format!("urn:parlour:{code}"), "{self:?}");
        assert_eq!(super::number(&problem, "status"), u64::from(self.status), "{self:?}");
        assert!(!super::text(&problem, "title").is_empty(), "{self:?}");
        assert!(super::text(&problem, "detail").contains(' '), "a detail is a sentence: {self:?}");
        let header = match self.status {
            401 => "www-authenticate",
            405 => "allow",
            429 | 503 => "retry-after",
            _ => return,
        };
        assert!(!self.header(header).is_empty(), "{} carries {header}: {self:?}", self.status);
    }
}
