//! Subscribers: many streams that are read to their end, with the number and the latency of the deliveries.
//!
//! The message of a delivery holds the time at which it was sent, as a mark `t@NANOSECONDS@`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet, spawn_local};

use crate::chat;
use crate::server::Server;

/// The number of streams that are opened at the same time.
const CONCURRENT_OPENINGS: usize = 32;

/// Open streams, and the deliveries over them.
pub(crate) struct Subscribers {
    received: Rc<RefCell<Received>>,
    tasks: Vec<AbortHandle>,
    /// The start of the time in marks.
    epoch: Instant,
}

#[derive(Default)]
struct Received {
    deliveries: usize,
    /// The number of streams that the server has closed.
    closed: usize,
    /// The latency of each delivery since [`Subscribers::latencies`] was called last.
    latencies: Vec<Duration>,
}

impl Subscribers {
    /// Opens `count` streams, spread over `rooms` rooms.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses a stream.
    pub(crate) async fn open(server: &Server, count: usize, rooms: usize) -> Result<Self> {
        let mut subscribers = Self { received: Rc::default(), tasks: Vec::new(), epoch: Instant::now() };
        subscribers.open_more(server, 0..count, rooms).await?;
        Ok(subscribers)
    }

    /// Opens further streams, with these numbers.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses a stream.
    pub(crate) async fn open_more(
        &mut self,
        server: &Server,
        numbers: std::ops::Range<usize>,
        rooms: usize,
    ) -> Result<()> {
        let mut numbers = numbers;
        let mut opening = JoinSet::new();
        loop {
            while opening.len() < CONCURRENT_OPENINGS
                && let Some(nth) = numbers.next()
            {
                let kind = server.kind;
                let address = server.address.clone();
                opening.spawn_local(async move {
                    chat::listen(kind, &address, &format!("subscriber-{nth}"), &room(nth % rooms)).await
                });
            }
            let Some(opened) = opening.join_next().await else { return Ok(()) };
            let (stream, first) = opened??;
            self.tasks.push(spawn_local(receive(stream, first, self.received.clone(), self.epoch)).abort_handle());
        }
    }

    /// Returns a text with a mark of the time now.
    pub(crate) fn mark(&self, padding: &str) -> String {
        format!("t@{}@{padding}", self.epoch.elapsed().as_nanos())
    }

    /// Waits for this many deliveries in total, at most for `timeout`. Returns the number of deliveries.
    pub(crate) async fn wait_for(&self, deliveries: usize, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        while self.deliveries() < deliveries && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.deliveries()
    }

    /// Returns the number of deliveries so far.
    pub(crate) fn deliveries(&self) -> usize {
        self.received.borrow().deliveries
    }

    /// Returns the number of streams that the server has closed.
    pub(crate) fn closed(&self) -> usize {
        self.received.borrow().closed
    }

    /// Removes and returns the latencies of the deliveries, sorted.
    pub(crate) fn latencies(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut self.received.borrow_mut().latencies);
        latencies.sort_unstable();
        latencies
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Returns the name of the room with this number.
pub(crate) fn room(nth: usize) -> String {
    format!("bench-{nth}")
}

/// Reads a stream to its end, and records the delivery of each mark in it. `buffer` holds what has been read already.
async fn receive(mut stream: TcpStream, mut buffer: Vec<u8>, received: Rc<RefCell<Received>>, epoch: Instant) {
    loop {
        let scanned = scan(&buffer, epoch.elapsed(), &mut received.borrow_mut());
        buffer.drain(..scanned);
        if !matches!(stream.read_buf(&mut buffer).await, Ok(count) if count > 0) {
            received.borrow_mut().closed += 1;
            return;
        }
    }
}

/// Records the marks in a part of a stream. Returns the number of bytes that need not be scanned again: the rest may be
/// the beginning of a mark.
fn scan(bytes: &[u8], now: Duration, received: &mut Received) -> usize {
    let mark = memchr::memmem::Finder::new(b"t@");
    let mut from = 0;
    while let Some(at) = mark.find(&bytes[from..]) {
        let start = from + at + 2;
        let Some(length) = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()) else { return from + at };
        if length > 0 && bytes[start + length] == b'@' {
            let sent = std::str::from_utf8(&bytes[start..start + length]).ok().and_then(|text| text.parse().ok());
            received.deliveries += 1;
            received.latencies.extend(sent.map(|sent| now.saturating_sub(Duration::from_nanos(sent))));
        }
        from = start + length;
    }
    bytes.len().saturating_sub(1).max(from)
}
