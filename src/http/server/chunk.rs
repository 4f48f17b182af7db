//! The chunked transfer coding of HTTP/1.1 (RFC 9112 §7.1), written around a payload in place.

use bytes::{Buf as _, BytesMut};

use crate::live::FRAME_ROOM;

/// The last chunk, without trailers: the end of a chunked body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line end after the size of a chunk, and after its payload.
const LINE_END: &[u8] = b"\r\n";

/// Turns a piece, whose payload begins after [`FRAME_ROOM`] bytes, into a chunk.
pub(super) fn frame(piece: &mut BytesMut) {
    let mut rest = piece.len() - FRAME_ROOM;
    let mut start = FRAME_ROOM - LINE_END.len();
    piece[start..FRAME_ROOM].copy_from_slice(LINE_END);
    while rest > 0 {
        start -= 1;
        piece[start] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
    }
    piece.advance(start);
    piece.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_begins_with_its_size() {
        for length in [1, 15, 16, 255, 256, 4_095, 4_096, 65_536, 1_048_577] {
            let mut piece = BytesMut::zeroed(FRAME_ROOM);
            piece.extend_from_slice(&vec![b'x'; length]);
            frame(&mut piece);
            let head = format!("{length:x}\r\n");
            assert!(piece.starts_with(head.as_bytes()) && piece.ends_with(b"x\r\n"));
            assert_eq!(piece.len(), head.len() + length + 2);
        }
    }
}
