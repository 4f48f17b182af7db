//! The event encoder: writes events as an SSE stream (WHATWG HTML §9.2) or, for a long poll, as the items of a JSON array.

use bytes::{Buf as _, Bytes, BytesMut};

use super::sink::FRAME_ROOM;

/// The format of a stream's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/event-stream`.
    Sse,
    /// The items of a JSON array, without the brackets.
    Json,
}

/// Encodes events into one piece. A piece of SSE begins with [`FRAME_ROOM`] bytes for the framing of the transport.
#[derive(Debug)]
pub(super) struct EventEncoder {
    format: Format,
    piece: BytesMut,
}

impl EventEncoder {
    pub(super) fn new(format: Format) -> Self {
        Self { format, piece: BytesMut::new() }
    }

    /// Adds an event. `id` is empty for an event without id; `data` is JSON on one line.
    pub(super) fn event(&mut self, name: &str, id: &[u8], data: &[u8]) {
        match self.format {
            Format::Sse => {
                self.piece.reserve(FRAME_ROOM + data.len() + id.len() + name.len() + 28);
                self.leave_frame_room();
                if !id.is_empty() {
                    self.put(&[b"id: ", id, b"\n"]);
                }
                self.put(&[b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"]);
            }
            Format::Json => {
                let comma: &[u8] = if self.piece.is_empty() { b"" } else { b"," };
                self.put(&[comma, b"{\"event\":\"", name.as_bytes(), b"\""]);
                if !id.is_empty() {
                    self.put(&[b",\"id\":\"", id, b"\""]);
                }
                self.put(&[b",\"data\":", data, b"}"]);
            }
        }
    }

    /// Adds the time after which an EventSource reconnects, in milliseconds.
    pub(super) fn retry(&mut self, millis: u64) {
        if self.format == Format::Sse {
            self.leave_frame_room();
            self.put(&[b"retry: ", millis.to_string().as_bytes(), b"\n\n"]);
        }
    }

    /// Adds an empty comment, which keeps the connection alive.
    pub(super) fn comment(&mut self) {
        if self.format == Format::Sse {
            self.leave_frame_room();
            self.put(&[b":\n\n"]);
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn is_empty(&self) -> bool {
        self.piece.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.piece.len()
    }

    /// Takes the piece without room for framing. An idle stream keeps no buffer.
    pub(super) fn take(&mut self) -> Bytes {
        let mut piece = self.take_piece();
        if self.format == Format::Sse && !piece.is_empty() {
            piece.advance(FRAME_ROOM);
        }
        piece.freeze()
    }

    /// Takes the piece with the room before it.
    pub(super) fn take_piece(&mut self) -> BytesMut {
        std::mem::take(&mut self.piece)
    }

    /// Writes the next piece into this memory, which leaves with the piece. The encoder has to be empty.
    pub(super) fn use_memory(&mut self, memory: BytesMut) {
        self.piece = memory;
    }

    fn leave_frame_room(&mut self) {
        if self.piece.is_empty() {
            self.piece.extend_from_slice(&[0; FRAME_ROOM]);
        }
    }

    fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.piece.extend_from_slice(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_both_formats() {
        let mut sse = EventEncoder::new(Format::Sse);
        sse.retry(1500);
        sse.event("ready", b"abc", b"{}");
        sse.event("typing", b"", b"[1]");
        let text = "retry: 1500\n\nid: abc\nevent: ready\ndata: {}\n\nevent: typing\ndata: [1]\n\n";
        assert_eq!(sse.take(), text);

        let mut json = EventEncoder::new(Format::Json);
        json.retry(1500);
        json.event("ready", b"abc", b"{}");
        json.event("typing", b"", b"[1]");
        assert_eq!(json.take(), "{\"event\":\"ready\",\"id\":\"abc\",\"data\":{}},{\"event\":\"typing\",\"data\":[1]}");
    }

    #[test]
    fn a_piece_begins_with_room_for_its_framing() {
        let mut sse = EventEncoder::new(Format::Sse);
        sse.comment();
        sse.comment();
        assert_eq!(sse.take_piece()[FRAME_ROOM..], *b":\n\n:\n\n");
        assert!(sse.is_empty() && sse.take().is_empty());
    }
}
