//! The accept loop: our own, as `axum::serve` can set neither socket options nor hyper's limits. It promises that a
//! connection costs little, that one which says nothing or reads nothing goes away, and that stopping takes no longer
//! than it was told.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::timer::HeadTimer;
use super::address::PeerAddr;

mod timer;

/// What a connection may hold of a request's head (more is 431) and of an unsent response. A browser's head with a
/// `Last-Event-ID` of 4 KiB and a token comes to about 8 KiB, hyper's minimum; its default of 408 KiB, times the
/// streams of an instance, would be the memory that anybody can take for nothing.
const BUFFER: usize = 16 * 1024;

/// What the kernel holds of unsent bytes (Linux doubles it). Without a bound it grows to megabytes, and a reader that
/// has stalled would lag by all of that before we see it: a stream reads the log instead of filling sockets.
const SEND_BUFFER: usize = 64 * 1024;

/// How long sent bytes may stay unacknowledged, or a reader's window closed, before the connection counts as dead
/// (RFC 5482). Else retransmission goes on for a quarter of an hour, and with it the presence of someone long gone.
/// A stream that is cut is resumed by its `Last-Event-ID`, so a slow reader loses nothing by it.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// When an idle connection is probed. Streams have their own comments every 15 s; this is for the others, whose peer
/// may be gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a failed accept is waited out: without file descriptors it fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Failures that lie closer together than this are one burst, and one line in the log.
const ACCEPT_BURST: Duration = Duration::from_secs(10);

/// How long a client may take to ask.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the head of a connection's first request, from the accept on.
    first_head: Duration,
    /// For the head of each later one, the time in between included. Longer than the 60 s after which load balancers
    /// commonly drop idle connections themselves: who closes first must be they, or a request that they have just
    /// sent is lost and answered 502.
    next_head: Duration,
}

const PATIENCE: Patience = Patience { first_head: Duration::from_secs(10), next_head: Duration::from_secs(75) };

/// Serves `router` on `listener` until `shutdown` is cancelled. Then nothing more is accepted, idle connections close,
/// requests in flight (streams too, which the caller ends) have `drain` to finish, and what is left is cut. Returns
/// when no connection is left; a failing accept never ends it.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, drain: Duration) {
    serve_with(listener, router, shutdown, drain, PATIENCE).await;
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
    patience: Patience,
) {
    // Not done per request.
    let router = router.with_state(());
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection { stream, peer, patience, shutdown: shutdown.clone() };
                let served = connection.serve(router.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = served => (),
                        () = cut.cancelled() => (),
                    }
                });
            }
            Err(error) if is_of_the_peer(&error) => (),
            Err(error) => {
                if failures.begin_burst(Instant::now()) {
                    tracing::error!(%error, "cannot accept connections, trying again");
                }
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_PAUSE) => (),
                    () = shutdown.cancelled() => break,
                }
            }
        }
    }
    // Whoever comes now is refused at once and tries another instance.
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting connections that did not finish in time");
        cut.cancel();
        connections.wait().await;
    }
}

/// The peer went away between its SYN and our accept: nothing is wrong here, and the next one may be waiting.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

/// Keeps a shortage, which may last for hours, from filling the log.
#[derive(Default)]
struct Failures {
    last: Option<Instant>,
}

impl Failures {
    /// Counts a failure; whether it is the first of its burst.
    fn begin_burst(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_none_or(|last| now.duration_since(last) > ACCEPT_BURST)
    }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    patience: Patience,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, router: Router) {
        let Self { stream, peer, patience, shutdown } = self;
        if let Err(error) = tune(&stream) {
            // The connection works without; on a dead socket the next read says so.
            tracing::debug!(%error, "cannot set socket options");
        }
        // Not TowerToHyperService: a router is always ready, so there is nothing to wait for.
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            router.clone().call(request)
        });
        let connection = http1(patience).serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // A client that is gone or does not speak HTTP: everyday, and theirs.
            tracing::debug!(%error, "connection ended");
        }
    }
}

fn http1(patience: Patience) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(HeadTimer::new(patience.next_head.saturating_sub(patience.first_head)))
        .header_read_timeout(patience.first_head)
        .max_buf_size(BUFFER)
        // A client that has closed its side is gone: the end of what it sends is how we learn that nobody reads a
        // stream any more.
        .half_close(false)
        // Each event leaves when it is written; holding it back for what the client may pipeline would delay it.
        .pipeline_flush(false);
    http
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Events are small and written whole: waiting for more (Nagle) only delays them.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(Duration::from_secs(10)))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests;
