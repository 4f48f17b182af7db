//! Many streams, read to the end: what comes is counted, and how late.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet, spawn_local};

use crate::chat;
use crate::server::Server;

/// So many streams are opened at a time.
const AT_ONCE: usize = 32;

/// Streams, and what has come over them.
pub struct Ears {
    heard: Rc<RefCell<Heard>>,
    tasks: Vec<AbortHandle>,
    epoch: Instant,
}

#[derive(Default)]
struct Heard {
    deliveries: usize,
    closed: usize,
    latencies: Vec<Duration>,
}

impl Ears {
    /// Opens `count` streams over `rooms` rooms.
    pub async fn open(server: &Server, count: usize, rooms: usize) -> Result<Self> {
        let mut ears = Self { heard: Rc::default(), tasks: Vec::new(), epoch: Instant::now() };
        ears.open_more(server, 0..count, rooms).await?;
        Ok(ears)
    }

    /// Opens those with these numbers as well.
    pub async fn open_more(&mut self, server: &Server, numbers: std::ops::Range<usize>, rooms: usize) -> Result<()> {
        let (mut opening, mut numbers) = (JoinSet::new(), numbers);
        let address = server.address.clone();
        loop {
            while opening.len() < AT_ONCE
                && let Some(nth) = numbers.next()
            {
                let (kind, address) = (server.kind, address.clone());
                opening.spawn_local(async move {
                    chat::listen(kind, &address, &format!("ear-{nth}"), &room(nth % rooms)).await
                });
            }
            let Some(opened) = opening.join_next().await else { return Ok(()) };
            let (stream, first) = opened??;
            self.tasks.push(spawn_local(hear(stream, first, self.heard.clone(), self.epoch)).abort_handle());
        }
    }

    /// A text that says when it was sent.
    pub fn mark(&self, padding: &str) -> String {
        format!("t@{}@{padding}", self.epoch.elapsed().as_nanos())
    }

    /// Waits until so much has come, at most for a while; answers how much that was.
    pub async fn wait_for(&self, deliveries: usize, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        while self.deliveries() < deliveries && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.deliveries()
    }

    pub fn deliveries(&self) -> usize {
        self.heard.borrow().deliveries
    }

    /// How many the server has closed.
    pub fn closed(&self) -> usize {
        self.heard.borrow().closed
    }

    /// How late deliveries were, in order.
    pub fn latencies(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut self.heard.borrow_mut().latencies);
        latencies.sort_unstable();
        latencies
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The room's name.
pub fn room(nth: usize) -> String {
    format!("bench-{nth}")
}

async fn hear(mut stream: TcpStream, mut read: Vec<u8>, heard: Rc<RefCell<Heard>>, epoch: Instant) {
    let mark = memchr::memmem::Finder::new(b"t@");
    loop {
        let (now, mut from) = (epoch.elapsed(), 0);
        while let Some(at) = mark.find(&read[from..]) {
            let digits = from + at + 2;
            let Some(length) = read[digits..].iter().position(|byte| !byte.is_ascii_digit()) else { break };
            if length > 0 && read[digits + length] == b'@' {
                let sent = std::str::from_utf8(&read[digits..digits + length]).ok().and_then(|text| text.parse().ok());
                let mut heard = heard.borrow_mut();
                heard.deliveries += 1;
                heard.latencies.extend(sent.map(|sent| now.saturating_sub(Duration::from_nanos(sent))));
            }
            from = digits + length;
        }
        // What may be half a mark is looked at again.
        let keep = mark.find(&read[from..]).map_or(read.len().saturating_sub(1).max(from), |at| from + at);
        read.drain(..keep);
        if !matches!(stream.read_buf(&mut read).await, Ok(count) if count > 0) {
            heard.borrow_mut().closed += 1;
            return;
        }
    }
}
