//! A parser of `text/event-stream`, exactly as the standard says (WHATWG HTML §9.2.6). It also keeps what an
//! EventSource drops: comments and `retry:`.

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::mem::take;

#[derive(Default)]
pub(crate) struct SseParser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    event: String,
    data: String,
    id: Option<String>,
    frames: VecDeque<Frame>,
    /// Every `retry:` so far, in milliseconds.
    pub(crate) retries: Vec<u64>,
    /// Every comment so far.
    pub(crate) comments: Vec<String>,
}

/// One dispatched event.
pub(crate) struct Frame {
    pub(crate) event: String,
    pub(crate) data: String,
    /// The `id:` of this very event, not the last one before it.
    pub(crate) id: Option<String>,
}

impl SseParser {
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while bytes.read_until(b'\n', &mut self.line).unwrap() > 0 {
            if self.line.ends_with(b"\n") {
                let line = take(&mut self.line);
                let line = std::str::from_utf8(&line[..line.len() - 1]).expect("a stream is UTF-8");
                self.take_line(line.strip_suffix('\r').unwrap_or(line));
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    fn take_line(&mut self, line: &str) {
        assert!(!line.contains('\r'), "a bare carriage return would split this line: {line:?}");
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" => self.id = Some(value.to_owned()),
            "retry" => self.retries.push(value.parse().expect("retry is a number")),
            _ => panic!("no field of an event stream: {line:?}"),
        }
    }

    fn dispatch(&mut self) {
        let (event, mut data, id) = (take(&mut self.event), take(&mut self.data), self.id.take());
        if data.is_empty() {
            // A browser would drop it: the service should not have sent it.
            assert!(event.is_empty() && id.is_none(), "an event without data: {event:?}, {id:?}");
            return;
        }
        data.pop();
        self.frames.push_back(Frame { event, data, id });
    }
}
