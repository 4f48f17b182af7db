//! What a stream's connection becomes once its head is written: a socket and a stream, and nothing else.
//!
//! A stream lives for an hour and is silent for most of it, and hyper's part in it ends with the head. So the connection
//! is taken from hyper then, and what hyper held for it (buffers, timers, the request) is freed; the stream is written
//! from here in chunks (RFC 9112 §7.1), each with one system call. It is the last that the connection carries. What is not
//! HTTP/1.1 stays with hyper, which writes the same stream its own way.

use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::live::Stream;

/// What a client may send on a connection that carries a stream, where nothing is expected of it: it is read, to notice
/// the end, and thrown away.
const UNASKED: usize = 64 * 1024;

/// Where a handler leaves the stream that its connection shall carry.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Left>>);

#[derive(Default)]
struct Left {
    stream: Option<Box<Stream>>,
    /// hyper has asked for the body: the head is written, or about to be.
    asked: bool,
    /// Of what hyper had to write, the socket has not taken all.
    unwritten: bool,
}

impl Handover {
    /// Leaves a stream here; the body that is answered stands in its place until the head is written.
    pub(crate) fn leave(&self, stream: Stream) -> Body {
        self.lock().stream = Some(Box::new(stream));
        Body::new(Placeholder(self.clone()))
    }

    /// Whether hyper has done its part, and its buffer is empty.
    pub(super) fn is_due(&self) -> bool {
        let left = self.lock();
        left.asked && !left.unwritten
    }

    pub(super) fn take(&self) -> Option<Box<Stream>> {
        self.lock().stream.take()
    }

    // Not an async mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that never comes: before it could, the connection is taken from hyper.
struct Placeholder(Handover);

impl http_body::Body for Placeholder {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.lock().asked = true;
        Poll::Pending
    }
}

/// hyper's socket: it notes whether all that it was given has been written.
pub(super) struct Socket {
    pub(super) tcp: TcpStream,
    pub(super) handover: Handover,
}

impl Socket {
    fn note(&mut self, wrote: Poll<io::Result<usize>>, given: usize) -> Poll<io::Result<usize>> {
        self.handover.lock().unwritten = !matches!(wrote, Poll::Ready(Ok(count)) if count == given);
        wrote
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.note(wrote, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.note(wrote, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Writes the stream to its end or to the peer's, or until `cut`, where the peer does not read on.
pub(super) async fn carry(socket: TcpStream, stream: Box<Stream>, cut: CancellationToken) {
    let ended = carry_to_the_end(Arc::new(socket), stream, cut).await;
    tracing::debug!(?ended, "a stream's connection ended");
}

async fn carry_to_the_end(socket: Arc<TcpStream>, mut stream: Box<Stream>, cut: CancellationToken) -> io::Result<()> {
    let mut unasked = 0;
    loop {
        // On the heap while it lasts: a stream that rests, as most do, is to be small.
        while let Some(chunk) = Box::pin(stream.next_chunk()).await {
            write(&socket, &chunk, &cut).await?;
        }
        if stream.has_ended() {
            break;
        }
        stream = stream.rest(&socket, |cx| poll_gone(&socket, &mut unasked, cx)).await?;
    }
    write(&socket, b"0\r\n\r\n", &cut).await?;
    drop(stream);
    if let Some(mut socket) = Arc::into_inner(socket) {
        socket.shutdown().await?;
    }
    Ok(())
}

/// Whether the peer has closed its side, or says more than it has any reason to.
fn poll_gone(socket: &TcpStream, unasked: &mut usize, cx: &mut Context<'_>) -> Poll<io::Error> {
    loop {
        if let Err(error) = ready!(socket.poll_read_ready(cx)) {
            return Poll::Ready(error);
        }
        match socket.try_read(&mut [0; 512]) {
            Ok(count) if count > 0 && *unasked < UNASKED => *unasked += count,
            Ok(_) => return Poll::Ready(ErrorKind::ConnectionAborted.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(error),
        }
    }
}

async fn write(socket: &TcpStream, mut bytes: &[u8], cut: &CancellationToken) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // On the heap, as few streams come to this.
                let writable = Box::pin(cut.run_until_cancelled(socket.writable())).await;
                writable.unwrap_or_else(|| Err(ErrorKind::ConnectionAborted.into()))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
