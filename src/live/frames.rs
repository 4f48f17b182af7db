//! Events on their way out: as an SSE stream (WHATWG HTML §9.2) or, for a long poll, as the items of a JSON array.

use bytes::{Bytes, BytesMut};

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `text/event-stream`.
    Sse,
    /// A JSON array's items, without the brackets.
    Json,
}

/// What waits to be written in one go.
#[derive(Debug)]
pub(super) struct Frames {
    form: Form,
    out: BytesMut,
}

impl Frames {
    pub(super) fn new(form: Form) -> Self {
        Self { form, out: BytesMut::new() }
    }

    /// Adds an event. `id` is empty where it has none; `data` is JSON on one line.
    pub(super) fn event(&mut self, name: &str, id: &[u8], data: &[u8]) {
        match self.form {
            Form::Sse => {
                self.out.reserve(data.len() + id.len() + name.len() + 24);
                if !id.is_empty() {
                    self.put(&[b"id: ", id, b"\n"]);
                }
                self.put(&[b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"]);
            }
            Form::Json => {
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
        if self.form == Form::Sse {
            self.put(&[b"retry: ", millis.to_string().as_bytes(), b"\n\n"]);
        }
    }

    /// A sign of life.
    pub(super) fn comment(&mut self) {
        if self.form == Form::Sse {
            self.put(&[b":\n\n"]);
        }
    }

    pub(super) fn form(&self) -> Form {
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
        std::mem::take(&mut self.out).freeze()
    }

    fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_both_forms() {
        let mut sse = Frames::new(Form::Sse);
        sse.retry(1500);
        sse.event("ready", b"abc", b"{}");
        sse.event("typing", b"", b"[1]");
        let text = "retry: 1500\n\nid: abc\nevent: ready\ndata: {}\n\nevent: typing\ndata: [1]\n\n";
        assert_eq!(sse.take(), text);

        let mut json = Frames::new(Form::Json);
        json.retry(1500);
        json.event("ready", b"abc", b"{}");
        json.event("typing", b"", b"[1]");
        assert_eq!(json.take(), "{\"event\":\"ready\",\"id\":\"abc\",\"data\":{}},{\"event\":\"typing\",\"data\":[1]}");
    }
}
