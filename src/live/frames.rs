//! Events on their way out: as an SSE stream (WHATWG HTML §9.2) or, for a long poll, as the items of a JSON array.

use bytes::{Buf as _, Bytes, BytesMut};

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/event-stream`.
    Sse,
    /// A JSON array's items, without the brackets.
    Json,
}

/// Room for a chunk's head before what waits: the length in hexadecimal digits, and a line's end.
const HEAD: usize = 10;

/// What waits to be written in one go. A stream's pieces have room for a chunk's head (RFC 9112 §7.1), so that they are
/// written from where they are.
#[derive(Debug)]
pub(super) struct Frames {
    form: Format,
    out: BytesMut,
}

impl Frames {
    pub(super) fn new(form: Format) -> Self {
        Self { form, out: BytesMut::new() }
    }

    /// Adds an event. `id` is empty where it has none; `data` is JSON on one line.
    pub(super) fn event(&mut self, name: &str, id: &[u8], data: &[u8]) {
        match self.form {
            Format::Sse => {
                self.out.reserve(HEAD + data.len() + id.len() + name.len() + 28);
                self.make_room();
                if !id.is_empty() {
                    self.put(&[b"id: ", id, b"\n"]);
                }
                self.put(&[b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"]);
            }
            Format::Json => {
                let comma: &[u8] = if self.out.is_empty() { b"" } else { b"," };
                self.put(&[comma, b"{\"event\":\"", name.as_bytes(), b"\""]);
                if !id.is_empty() {
                    self.put(&[b",\"id\":\"", id, b"\""]);
                }
                self.put(&[b",\"data\":", data, b"}"]);
            }
        }
    }

    /// Tells an EventSource how long to wait before it comes back, in milliseconds.
    pub(super) fn retry(&mut self, millis: u64) {
        if self.form == Format::Sse {
            self.make_room();
            self.put(&[b"retry: ", millis.to_string().as_bytes(), b"\n\n"]);
        }
    }

    /// A sign of life.
    pub(super) fn comment(&mut self) {
        if self.form == Format::Sse {
            self.make_room();
            self.put(&[b":\n\n"]);
        }
    }

    pub(super) fn form(&self) -> Format {
        self.form
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes what waits; an idle stream keeps no buffer.
    pub(super) fn take(&mut self) -> Bytes {
        let mut out = std::mem::take(&mut self.out);
        if self.form == Format::Sse && !out.is_empty() {
            out.advance(HEAD);
        }
        out.freeze()
    }

    /// Uses this memory for what comes next; it goes with what is taken then.
    pub(super) fn use_memory(&mut self, memory: BytesMut) {
        self.out = memory;
    }

    /// Takes what waits, as a chunk.
    pub(super) fn take_chunk(&mut self) -> BytesMut {
        let mut out = std::mem::take(&mut self.out);
        let length = out.len().saturating_sub(HEAD);
        let mut head = [b'0'; HEAD];
        let digits = write_head(&mut head, length);
        out[..HEAD].copy_from_slice(&head);
        out.advance(HEAD - 2 - digits);
        out.extend_from_slice(b"\r\n");
        out
    }

    fn make_room(&mut self) {
        if self.out.is_empty() {
            self.out.extend_from_slice(&[0; HEAD]);
        }
    }

    fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
    }
}

/// Writes a chunk's head to the end of its room; answers how many digits the length has.
fn write_head(head: &mut [u8; HEAD], length: usize) -> usize {
    head[HEAD - 2..].copy_from_slice(b"\r\n");
    let (mut rest, mut digits) = (length, 0);
    for place in head[..HEAD - 2].iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *place = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_how_long_it_is() {
        for length in [1, 15, 16, 255, 256, 4_095, 4_096, 65_536, 1_048_577] {
            let mut sse = Frames::new(Format::Sse);
            sse.event("message", b"", &vec![b'x'; length]);
            let whole = sse.len() - HEAD;
            let chunk = sse.take_chunk();
            let head = format!("{whole:x}\r\n");
            assert!(chunk.starts_with(head.as_bytes()) && chunk.ends_with(b"x\n\n\r\n"));
            assert_eq!(chunk.len(), head.len() + whole + 2);
            assert!(sse.is_empty());
        }
    }

    #[test]
    fn writes_both_forms() {
        let mut sse = Frames::new(Format::Sse);
        sse.retry(1500);
        sse.event("ready", b"abc", b"{}");
        sse.event("typing", b"", b"[1]");
        let text = "retry: 1500\n\nid: abc\nevent: ready\ndata: {}\n\nevent: typing\ndata: [1]\n\n";
        assert_eq!(sse.take(), text);

        let mut json = Frames::new(Format::Json);
        json.retry(1500);
        json.event("ready", b"abc", b"{}");
        json.event("typing", b"", b"[1]");
        assert_eq!(json.take(), "{\"event\":\"ready\",\"id\":\"abc\",\"data\":{}},{\"event\":\"typing\",\"data\":[1]}");
    }
}
