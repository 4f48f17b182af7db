//! The transport of a stream, as far as this part uses it: a sink for bytes. `http/server` implements it with a socket.

use std::fmt::Debug;

use bytes::BytesMut;

/// Bytes of room that a stream leaves before each piece that it writes, so that a sink puts its framing there and does
/// not copy the payload. The head of an HTTP/1.1 chunk (RFC 9112 §7.1) takes at most this: eight hexadecimal digits and
/// a line end.
pub(crate) const FRAME_ROOM: usize = 10;

/// Takes what the fan-out writes for a parked stream.
pub(crate) trait ByteSink: Debug + Send + Sync {
    /// Frames a piece and writes what the transport accepts at once; it never waits. The piece begins with [`FRAME_ROOM`]
    /// bytes for the framing. Afterwards it holds the framed bytes that were not written: none, or the rest, or all of them
    /// where the transport failed. The stream's task writes them later and meets the error there.
    fn write_now(&self, piece: &mut BytesMut);
}
