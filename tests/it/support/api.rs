//! Calls over HTTP and what they answer. Every answer that a test sees has been checked here for what the contract says
//! of all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// What stands as it is in a path's segment; everything else a client encodes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'~').remove(b'.').remove(b'_').remove(b'-');

/// No call takes so long; the longest poll takes half of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic's or user's id as a path's segment or a query's value.
pub(crate) fn encode(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// A running service, as a client sees it: an address; or several, and no call knows at which of them it arrives.
#[derive(Clone)]
pub(crate) struct Api {
    bases: Arc<[String]>,
    http: Client,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::of_all(&[address])
    }

    /// Several instances of one service, behind no more than chance.
    pub(crate) fn of_all(addresses: &[SocketAddr]) -> Self {
        // The service's own HTTP client comes without a provider of TLS, and so does this one; only plain HTTP is
        // spoken here, but the client wants one all the same. Whoever installs it second finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { bases: addresses.iter().map(|address| format!("http://{address}")).collect(), http }
    }

    /// The address of one of the instances, whichever.
    pub(crate) fn base(&self) -> &str {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        // A count, well mixed: no pattern of a test's calls meets a pattern of the choice.
        let mixed = CALLS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.bases[(mixed >> 40) % self.bases.len()]
    }

    /// Each instance by itself.
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

    /// Whether the service answers, within a second, that it is ready: all of it.
    pub(crate) async fn is_ready(&self) -> bool {
        for instance in self.each() {
            let asked = tokio::time::timeout(Duration::from_secs(1), instance.get("/readyz").try_send()).await;
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

    pub(crate) async fn send(self) -> Reply {
        let described = self.described.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{described}: {error:?}"))
    }

    /// For tests in which the service may be gone: an error is a connection that failed or broke.
    pub(crate) async fn try_send(self) -> Result<Reply, reqwest::Error> {
        let response = self.request.timeout(PATIENCE).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Reply { described: self.described, status, headers, body: response.bytes().await?.to_vec() };
        assert!(!reply.header("x-request-id").is_empty(), "an answer without x-request-id: {reply:?}");
        if reply.status >= 400 {
            reply.check_problem();
        }
        Ok(reply)
    }

    /// [`Self::open`] where the service may be gone.
    pub(crate) async fn try_open(self) -> Option<reqwest::Response> {
        self.request.send().await.ok()
    }

    /// Only the head of the answer is read: the body is the caller's.
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
    /// The header's value; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer with this status, which is the test's claim.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if status == 204 {
            assert!(self.body.is_empty(), "204 has no body: {self:?}");
            return Value::Null;
        }
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        self.json()
    }

    /// The `code` of a refusal with this status.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        super::text(&self.json(), "code").to_owned()
    }

    /// Where the contract names no single status, any of these.
    pub(crate) fn refused_as(&self, statuses: &[u16]) -> String {
        assert!(statuses.contains(&self.status), "one of {statuses:?} expected: {self:?}");
        super::text(&self.json(), "code").to_owned()
    }

    /// RFC 9457, and what the contract adds to it for every error.
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
