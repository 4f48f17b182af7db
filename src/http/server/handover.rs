//! The handover of a stream's connection: once hyper has written the head of the response, the connection is a socket and
//! a stream, and nothing else.
//!
//! A stream lives for an hour and is silent for most of it, and hyper's part in it ends with the head. So the connection
//! is taken from hyper then, and what hyper held for it (buffers, timers, the request) is freed; `carry` writes the stream.
//! The connection serves no further request. What is not HTTP/1.1 stays with hyper, which writes the same stream as any
//! other body.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::live::Stream;

/// Takes a stream from the handler to the connection that it shall be carried on.
// Not an async mutex: nothing is awaited while it is held.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stream: Option<Box<Stream>>,
    /// True if hyper has polled the body: the head is written, or about to be.
    body_polled: bool,
    /// True if the socket has not accepted all that hyper had to write.
    unwritten: bool,
}

impl Handover {
    /// Leaves a stream for the connection. The returned body stands in its place until the head is written.
    pub(crate) fn leave(&self, stream: Stream) -> Body {
        self.0.lock().stream = Some(Box::new(stream));
        Body::new(Placeholder(self.clone()))
    }

    /// Returns true if hyper has written the head, and its buffer is empty.
    pub(super) fn is_due(&self) -> bool {
        let state = self.0.lock();
        state.body_polled && !state.unwritten
    }

    pub(super) fn take(&self) -> Option<Box<Stream>> {
        self.0.lock().stream.take()
    }
}

/// A body without data and without an end: the connection is taken from hyper while hyper waits for it.
struct Placeholder(Handover);

impl http_body::Body for Placeholder {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.0.lock().body_polled = true;
        Poll::Pending
    }
}

/// The socket that hyper uses. It records whether everything that hyper wrote was accepted.
pub(super) struct Socket {
    pub(super) tcp: TcpStream,
    pub(super) handover: Handover,
}

impl Socket {
    fn record(&mut self, written: Poll<io::Result<usize>>, given: usize) -> Poll<io::Result<usize>> {
        self.handover.0.lock().unwritten = !matches!(written, Poll::Ready(Ok(count)) if count == given);
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.record(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.record(written, slices.iter().map(|slice| slice.len()).sum())
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
