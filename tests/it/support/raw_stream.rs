//! A session's stream over a bare TCP connection. A thousand of them cost little, and no HTTP client reads ahead: while
//! the test does not read, nobody does.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::overload::Overload;
use super::sse::{Frame, SseParser};
use super::{Connection, Session};

pub(crate) struct RawStream {
    connection: Connection,
    /// Received bytes that do not make a whole chunk of the body yet.
    rest: Vec<u8>,
    parser: SseParser,
}

impl RawStream {
    /// Opens the stream as an EventSource does: what an overloaded service refuses is tried again after its `retry:`.
    /// Only the response's head is read; nothing of the stream is.
    pub(crate) async fn open(session: &Session, receive_buffer: Option<u32>, last_id: Option<&str>) -> Self {
        let mut overload = Overload::new();
        loop {
            match Self::try_open(session, receive_buffer, last_id).await {
                Ok(stream) => return stream,
                Err(refusal) => overload.wait_for_stream(&refusal).await,
            }
        }
    }

    /// One attempt to open the stream. The error is the whole body of a response that is no stream.
    async fn try_open(session: &Session, receive_buffer: Option<u32>, last_id: Option<&str>) -> Result<Self, String> {
        let mut connection = Connection::with_buffer(&session.api, receive_buffer).await;
        let last_id = last_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: parlour\r\naccept: text/event-stream\r\n{last_id}\r\n",
            session.events_url
        );
        connection.write(request.as_bytes()).await;
        let mut rest = Vec::new();
        let head = loop {
            if let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            connection.read_more(&mut rest).await;
        };
        let text = String::from_utf8(rest.drain(..head).collect()).unwrap().to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "a stream opens with 200: {text}");
        assert!(text.contains("content-type: text/event-stream"), "a stream is text/event-stream: {text}");
        if text.contains("transfer-encoding: chunked") {
            return Ok(Self { connection, rest, parser: SseParser::default() });
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("a body has chunks or a length").trim().parse().unwrap();
        while rest.len() < length {
            connection.read_more(&mut rest).await;
        }
        Err(String::from_utf8(rest).unwrap())
    }

    /// Returns the next event; `None` if the connection has ended, with or without the last chunk of the protocol.
    pub(crate) async fn next(&mut self, within: Duration) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parser.pop() {
                return Some(frame);
            }
            while self.take_chunk() {}
            if let Some(frame) = self.parser.pop() {
                return Some(frame);
            }
            let read = self.connection.stream.read_buf(&mut self.rest);
            let received = timeout(within, read).await.unwrap_or_else(|_| panic!("nothing for {within:?}"));
            if received.is_ok_and(|bytes| bytes > 0) {
                continue;
            }
            return None;
        }
    }

    /// Moves one whole chunk of the body (RFC 9112 §7.1) to the parser. Returns false if none has been received.
    fn take_chunk(&mut self) -> bool {
        let Some(line) = self.rest.windows(2).position(|window| window == b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&self.rest[..line]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        let (start, end) = (line + 2, line + 2 + size);
        if self.rest.len() < end + 2 {
            return false;
        }
        self.parser.push(&self.rest[start..end]);
        self.rest.drain(..end + 2);
        true
    }
}
