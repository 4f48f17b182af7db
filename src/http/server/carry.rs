//! Carrying a stream: writing it to its socket in chunks, each with one system call, until one of the two ends.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::chunk;
use crate::live::{ByteSink, Stream};

/// The bytes that a client may send on a connection that carries a stream. None are expected: they are read, to notice the
/// end of the connection, and discarded.
const UNEXPECTED_BYTES: usize = 64 * 1024;

/// The socket of a stream.
#[derive(Debug)]
struct StreamSocket(TcpStream);

impl ByteSink for StreamSocket {
    fn write_now(&self, piece: &mut BytesMut) {
        chunk::frame(piece);
        // Sends without tokio's record of the socket's readiness, which costs more than the system call's own answer. Where
        // the socket does not accept everything, the stream's task waits for that record.
        let sent = SockRef::from(&self.0).send(piece).unwrap_or(0);
        if sent == piece.len() {
            piece.clear();
        } else {
            piece.advance(sent);
        }
    }
}

/// Writes the stream to its end or to that of the connection. After `cut` it does not wait for a client that does not
/// read.
pub(super) async fn carry(socket: TcpStream, stream: Box<Stream>, cut: CancellationToken) {
    let ended = carry_to_the_end(Arc::new(StreamSocket(socket)), stream, cut).await;
    tracing::debug!(?ended, "a stream's connection ended");
}

async fn carry_to_the_end(
    socket: Arc<StreamSocket>,
    mut stream: Box<Stream>,
    cut: CancellationToken,
) -> io::Result<()> {
    let mut unexpected = 0;
    loop {
        write(&socket.0, &stream.take_unsent(), &cut).await?;
        // On the heap for as long as it runs: a parked stream, as most are, is to be small.
        while let Some(mut piece) = Box::pin(stream.next_piece()).await {
            chunk::frame(&mut piece);
            write(&socket.0, &piece, &cut).await?;
        }
        if stream.has_ended() {
            break;
        }
        stream = stream.park(&socket, |cx| poll_closed(&socket.0, &mut unexpected, cx)).await?;
    }
    write(&socket.0, chunk::LAST_CHUNK, &cut).await?;
    // The stream closes first. With it, the last other reference to the socket is gone.
    drop(stream);
    if let Some(StreamSocket(mut socket)) = Arc::into_inner(socket) {
        socket.shutdown().await?;
    }
    Ok(())
}

/// Is ready when the client has closed its side, or has sent more than it has any reason to.
fn poll_closed(socket: &TcpStream, unexpected: &mut usize, cx: &mut Context<'_>) -> Poll<io::Error> {
    loop {
        if let Err(error) = ready!(socket.poll_read_ready(cx)) {
            return Poll::Ready(error);
        }
        match socket.try_read(&mut [0; 512]) {
            Ok(count) if count > 0 && *unexpected < UNEXPECTED_BYTES => *unexpected += count,
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
                // On the heap, because few streams wait here.
                let writable = Box::pin(cut.run_until_cancelled(socket.writable())).await;
                writable.unwrap_or_else(|| Err(ErrorKind::ConnectionAborted.into()))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
