//! A session's stream over a bare connection: a thousand of them cost little, and one that is not read is not read by
//! anybody, as no HTTP client stands between.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::sse::{Frame, SseParser};
use super::{Connection, DEADLINE, Session};

pub(crate) struct RawStream {
    connection: Connection,
    /// Bytes received that no chunk of the body has been made of yet.
    rest: Vec<u8>,
    parser: SseParser,
}

impl RawStream {
    /// Sends the request and reads the answer's head, up to which nothing of the stream is read.
    pub(crate) async fn open(session: &Session, receive_buffer: Option<u32>, last_id: Option<&str>) -> Self {
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
            let received = timeout(DEADLINE, connection.stream.read_buf(&mut rest)).await.expect("a head in time");
            assert!(received.unwrap() > 0, "a head before the end: {:?}", String::from_utf8_lossy(&rest));
        };
        let text = String::from_utf8(rest.drain(..head).collect()).unwrap().to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "a stream opens with 200: {text}");
        assert!(text.contains("transfer-encoding: chunked"), "a stream comes in chunks: {text}");
        Self { connection, rest, parser: SseParser::default() }
    }

    /// The next event; `None` where the connection has ended, by the protocol or without it.
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

    /// Hands one whole chunk of the body (RFC 9112 §7.1) to the parser, if there is one.
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
