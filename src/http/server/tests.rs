//! The accept loop on real sockets. The clients use the standard library's blocking sockets, in threads of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Client;
use std::sync::Arc;

use axum::Extension;
use axum::http::HeaderMap;
use axum::routing::get;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

/// The time that no test needs, even on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// Long enough to connect and send a request on a busy machine.
const FIRST_HEAD: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(100);
const PATIENT: HeadTimeouts = HeadTimeouts { first: LONG, next: LONG };

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    /// Notified when a request for `/slow` has arrived.
    entered: Arc<Notify>,
    /// Notify it to let `/slow` return.
    release: Arc<Notify>,
}

impl Server {
    async fn start(timeouts: HeadTimeouts, drain: Duration) -> Self {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, there) = (entered.clone(), release.clone());
        let slow = async move || {
            here.notify_one();
            there.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/peer", get(async |Extension(PeerAddr(peer)): Extension<PeerAddr>| peer.to_string()))
            .route("/id", get(async |headers: HeaderMap| headers["last-event-id"].len().to_string()))
            .route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve_with(listener, router, shutdown.clone(), drain, timeouts));
        Self { address, shutdown, task, entered, release }
    }

    /// Sends these bytes and reads until the server closes the connection.
    fn exchange(&self, request: impl Into<String>) -> JoinHandle<String> {
        let (address, request) = (self.address, request.into());
        spawn_blocking(move || {
            let mut client = connect(address);
            client.write_all(request.as_bytes()).expect("sent");
            rest(&mut client)
        })
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LONG, self.task).await.expect("it stops").expect("it does not panic");
    }
}

fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(address).expect("connected");
    client.set_read_timeout(Some(LONG)).expect("a timeout");
    client
}

/// Reads until the server closes the connection; fails if it does not.
fn rest(client: &mut Client) -> String {
    let mut text = Vec::new();
    match client.read_to_end(&mut text) {
        Ok(_) => (),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (),
        Err(error) => panic!("the server does not close: {error}"),
    }
    String::from_utf8(text).expect("UTF-8")
}

/// Makes a request and reads its response, which fits into one read.
fn one(client: &mut Client, path: &str) -> String {
    write!(client, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut bytes = [0; 1024];
    let count = client.read(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[tokio::test]
async fn a_request_knows_its_peer_and_a_long_event_id_fits() {
    let server = Server::start(PATIENT, LONG).await;
    let answer = server.exchange("GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("joined");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("127.0.0.1:"), "{answer}");
    let (id, rest) = ("x".repeat(4096), "y".repeat(4096));
    let head = format!("GET /id HTTP/1.1\r\nlast-event-id: {id}\r\nother: {rest}\r\nconnection: close\r\n\r\n");
    let answer = server.exchange(head).await.expect("joined");
    assert!(answer.ends_with("4096"), "{answer}");
    let head = format!("GET /id HTTP/1.1\r\nother: {}\r\n\r\n", "z".repeat(2 * BUFFER_BYTES));
    let answer = server.exchange(head).await.expect("joined");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_head_is_closed() {
    let server = Server::start(HeadTimeouts { first: SHORT, next: LONG }, LONG).await;
    for said in ["", "GET /peer HTTP/1.1\r\nhost"] {
        let answer = server.exchange(said).await.expect("joined");
        assert!(!answer.contains("200"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_has_asked_once_may_be_silent_for_longer() {
    let server = Server::start(HeadTimeouts { first: FIRST_HEAD, next: FIRST_HEAD * 2 }, LONG).await;
    let address = server.address;
    let silent = spawn_blocking(move || {
        let mut client = connect(address);
        assert!(one(&mut client, "/peer").starts_with("HTTP/1.1 200"));
        let since = Instant::now();
        rest(&mut client);
        since.elapsed()
    });
    let elapsed = silent.await.expect("joined");
    assert!(elapsed > FIRST_HEAD * 4 / 3 && elapsed < LONG, "{elapsed:?}");
    server.stop().await;
}

#[tokio::test]
async fn stopping_closes_the_idle_and_lets_requests_in_flight_finish() {
    let server = Server::start(PATIENT, LONG).await;
    let address = server.address;
    let (asked, idle) = (Arc::new(Notify::new()), server.shutdown.clone());
    let has_asked = asked.clone();
    let kept_alive = spawn_blocking(move || {
        let mut client = connect(address);
        let first = one(&mut client, "/peer");
        has_asked.notify_one();
        rest(&mut client);
        assert!(idle.is_cancelled(), "closed before the end");
        first
    });
    asked.notified().await;
    let slow = server.exchange("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.entered.notified().await;
    server.shutdown.cancel();
    assert!(kept_alive.await.expect("joined").starts_with("HTTP/1.1 200"));
    assert!(!server.task.is_finished(), "a request is in flight");
    server.release.notify_one();
    let answer = slow.await.expect("joined");
    assert!(answer.ends_with("slow") && answer.contains("connection: close"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn stopping_cuts_what_does_not_finish_and_takes_no_new_ones() {
    let server = Server::start(PATIENT, SHORT).await;
    let endless = server.exchange("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.entered.notified().await;
    let address = server.address;
    server.stop().await;
    assert_eq!(endless.await.expect("joined"), "");
    spawn_blocking(move || Client::connect(address).expect_err("nobody listens")).await.expect("joined");
}

#[test]
fn a_burst_of_failures_is_noted_once() {
    let (mut failures, start) = (Failures::default(), Instant::now());
    assert!(failures.begin_burst(start));
    assert!(!failures.begin_burst(start + ACCEPT_PAUSE));
    assert!(!failures.begin_burst(start + ACCEPT_PAUSE + ACCEPT_BURST));
    assert!(failures.begin_burst(start + ACCEPT_PAUSE + ACCEPT_BURST * 3));
}
