//! The accept loop: our own, as `axum::serve` can set neither socket options nor hyper's limits. It promises that a
//! connection costs little, that one which says nothing or reads nothing goes away, and that stopping takes no longer
//! than it was told.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Version;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

pub(crate) use self::handover::Handover;
use self::handover::Socket;
use self::timer::HeadTimer;
use super::address::PeerAddr;
use crate::live::Stream;

mod handover;
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

/// How long what is cut may take to end.
const LAST: Duration = Duration::from_secs(1);

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
/// when no connection is left, or a second after the cut; a failing accept never ends it.
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
                let (all, cut) = (connections.clone(), cut.clone());
                connections.spawn(async move {
                    if let Some(Some((socket, stream))) = cut.run_until_cancelled(served).await {
                        // In a task of its own: what it took to get here is freed.
                        all.spawn(handover::carry(socket, stream, cut));
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
        if tokio::time::timeout(LAST, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "leaving streams that wait for the database");
        }
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
    /// Serves requests until the connection ends, or is to carry a stream from here on: then that is answered.
    async fn serve(self, router: Router) -> Option<(TcpStream, Box<Stream>)> {
        let Self { stream, peer, patience, shutdown } = self;
        if let Err(error) = tune(&stream) {
            // The connection works without; on a dead socket the next read says so.
            tracing::debug!(%error, "cannot set socket options");
        }
        let handover = Handover::default();
        let left = handover.clone();
        // Not TowerToHyperService: a router is always ready, so there is nothing to wait for.
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(left.clone());
            }
            Box::pin(router.clone().call(request))
        });
        let mut connection =
            http1(patience).serve_connection(TokioIo::new(Socket { tcp: stream, handover: handover.clone() }), service);
        let ended = tokio::select! {
            ended = until_done(&mut connection, &handover) => ended,
            () = shutdown.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                until_done(&mut connection, &handover).await
            }
        };
        let mut socket = connection.into_parts().io.into_inner().tcp;
        let ended = match (ended, handover.take()) {
            (Ok(()), Some(stream)) => return Some((socket, stream)),
            (Ok(()), None) => socket.shutdown().await,
            (Err(error), _) => Err(io::Error::other(error)),
        };
        if let Err(error) = ended {
            // A client that is gone or does not speak HTTP: everyday, and theirs.
            tracing::debug!(%error, "connection ended");
        }
        None
    }
}

/// Lets hyper work until the connection has ended, or hyper has written the head of what is carried without it.
async fn until_done<S>(connection: &mut http1::Connection<TokioIo<Socket>, S>, handover: &Handover) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Pending if handover.is_due() => Poll::Ready(Ok(())),
        polled => polled,
    })
    .await
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
