//! The accept loop. It is our own because `axum::serve` can set neither socket options nor hyper's limits. It promises
//! that a connection costs little, that one that sends nothing or reads nothing is closed, and that stopping takes no
//! longer than the given time.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
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

mod carry;
mod chunk;
mod handover;
mod timer;

/// The bytes that a connection holds of a request's head (more is 431) and of an unsent response. A browser's head with a
/// `Last-Event-ID` of 4 KiB and a token has about 8 KiB, hyper's minimum. With hyper's default of 408 KiB, times the
/// streams of an instance, anybody could make the service hold that much memory at no cost.
const BUFFER_BYTES: usize = 16 * 1024;

/// The unsent bytes that the kernel holds (Linux doubles it). Without a bound it grows to megabytes, and a client that
/// has stopped reading would lag by all of that before it is noticed: a stream reads the log instead of filling sockets.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The time for which sent bytes may stay unacknowledged, or a client's window closed, before the connection counts as dead
/// (RFC 5482). Otherwise retransmission lasts for a quarter of an hour, and the user stays online for as long. A stream
/// that is cut is resumed by its `Last-Event-ID`, so a slow client loses nothing by it.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// The idle time after which TCP probes a connection. Streams write comments every 15 s; this is for other connections,
/// whose peer may have disappeared without closing.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// The time between two such probes.
const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// The pause of the loop after a failed accept: without file descriptors it would fail at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// The time limit for connections to end after they were cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Failures within this time of the one before are one burst, and one line in the log.
const ACCEPT_BURST: Duration = Duration::from_secs(10);

/// The time limits for a client to send the head of a request.
#[derive(Clone, Copy, Debug)]
struct HeadTimeouts {
    /// For a connection's first request, from the accept on.
    first: Duration,
    /// For each later request, from the end of the one before. Longer than the 60 s after which load balancers commonly
    /// close idle connections: they have to be the first to close, or a request that they have just sent is lost and
    /// answered 502.
    next: Duration,
}

const HEAD_TIMEOUTS: HeadTimeouts = HeadTimeouts { first: Duration::from_secs(10), next: Duration::from_secs(75) };

/// Serves `router` on `listener` until `shutdown` is cancelled. Then nothing more is accepted, idle connections are closed,
/// requests in flight (streams too, which the caller ends) have `drain` to finish, and the remaining ones are cut. Returns
/// when no connection is left, or a second after the cut. A failed accept never ends it.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, drain: Duration) {
    serve_with(listener, router, shutdown, drain, HEAD_TIMEOUTS).await;
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
    timeouts: HeadTimeouts,
) {
    // Once, and not per request.
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
                let connection = Connection { stream, peer, timeouts, shutdown: shutdown.clone() };
                let served = connection.serve(router.clone());
                let all = connections.clone();
                let cut = cut.clone();
                connections.spawn(async move {
                    if let Some(Some((socket, stream))) = cut.run_until_cancelled(served).await {
                        // In a task of its own, so that the memory of this one is freed.
                        all.spawn(carry::carry(socket, stream, cut));
                    }
                });
            }
            Err(error) if is_caused_by_peer(&error) => (),
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
    // From here on clients are refused at once and try another instance.
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting connections that did not finish in time");
        cut.cancel();
        if tokio::time::timeout(CUT_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "leaving streams that wait for the database");
        }
    }
}

/// Returns true if the peer disappeared between its SYN and our accept: nothing is wrong here, and the next connection may
/// be waiting.
fn is_caused_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

/// The failures of accept: a shortage may last for hours, and must not fill the log.
#[derive(Default)]
struct Failures {
    last: Option<Instant>,
}

impl Failures {
    /// Records a failure. Returns true if it is the first of its burst.
    fn begin_burst(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_none_or(|last| now.duration_since(last) > ACCEPT_BURST)
    }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    timeouts: HeadTimeouts,
    shutdown: CancellationToken,
}

impl Connection {
    /// Serves requests until the connection ends, or has to carry a stream: then it returns both.
    async fn serve(self, router: Router) -> Option<(TcpStream, Box<Stream>)> {
        let Self { stream, peer, timeouts, shutdown } = self;
        if let Err(error) = tune(&stream) {
            // The connection works without them; if the socket is dead, the next read fails.
            tracing::debug!(%error, "cannot set socket options");
        }
        let handover = Handover::default();
        let offered = handover.clone();
        // Not TowerToHyperService: a router is always ready, so there is nothing to wait for.
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(offered.clone());
            }
            Box::pin(router.clone().call(request))
        });
        let mut connection =
            http1(timeouts).serve_connection(TokioIo::new(Socket { tcp: stream, handover: handover.clone() }), service);
        let ended = tokio::select! {
            ended = until_done(&mut connection, &handover) => Some(ended),
            () = shutdown.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
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
            // The client is gone or does not send HTTP; this is common and no fault of the service.
            tracing::debug!(%error, "connection ended");
        }
        None
    }
}

/// Runs hyper until the connection has ended, or the head of a stream that is carried without hyper has been written.
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

fn http1(timeouts: HeadTimeouts) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(HeadTimer::new(timeouts.next.saturating_sub(timeouts.first)))
        .header_read_timeout(timeouts.first)
        .max_buf_size(BUFFER_BYTES)
        // A client that has closed its side is gone: only the end of what it sends tells that nobody reads a stream any
        // more.
        .half_close(false)
        // Each event is sent when it is written. Waiting for requests that the client may pipeline would delay it.
        .pipeline_flush(false);
    http
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Events are small and written whole; waiting for more bytes (Nagle) only delays them.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_PROBE_INTERVAL))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests;
