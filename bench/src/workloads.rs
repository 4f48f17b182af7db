//! The workloads. Each has a server of its own, and returns the figures of its row of the table.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::chat::{Sender, Session};
use crate::http::Http;
use crate::server::{Kind, Server, Setup};
use crate::stats::{Figure, per, percentile};
use crate::subscribers::{Subscribers, room};

/// The time limit for the last deliveries to arrive.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns 200 bytes of text, the size of a message in a chat.
fn padding() -> String {
    "x".repeat(200)
}

/// Sends messages at a steady rate to rooms full of streams: the cost and the latency of a delivery.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn fanout(
    server: &Server,
    streams: usize,
    rooms: usize,
    rate: f64,
    length: Duration,
) -> Result<Vec<Figure>> {
    let subscribers = Rc::new(Subscribers::open(server, streams, rooms).await?);
    let mut senders = Vec::new();
    for nth in 0..rooms {
        senders.push(Sender::open(server, &format!("sender-{nth}"), &room(nth)).await?);
    }
    tokio::time::sleep(Duration::from_secs(2)).await; // until presence has been sent
    let cpu = server.cpu();
    let start = Instant::now();
    let sent = Rc::new(Cell::new(0));
    let gap = Duration::from_secs_f64(rooms as f64 / rate);
    let sending = senders.into_iter().enumerate().map(|(nth, mut sender)| {
        let subscribers = subscribers.clone();
        let sent = sent.clone();
        let padding = padding();
        let mut due = start + gap.mul_f64(nth as f64 / rooms as f64);
        spawn_local(async move {
            while due < start + length {
                tokio::time::sleep_until(due.into()).await;
                sender.send(&subscribers.mark(&padding)).await?;
                sent.set(sent.get() + 1);
                due += gap;
            }
            anyhow::Ok(())
        })
    });
    for task in sending.collect::<Vec<_>>() {
        task.await??;
    }
    let expected = sent.get() * streams / rooms;
    let delivered = subscribers.wait_for(expected, DELIVERY_TIMEOUT).await;
    let took = start.elapsed();
    let cpu = server.cpu() - cpu;
    let closed = subscribers.closed();
    ensure!(delivered == expected && closed == 0, "{delivered} of {expected} were delivered; {closed} streams closed");
    let latencies = subscribers.latencies();
    Ok(vec![
        Figure::new("deliveries/s", delivered as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU per delivery", per(cpu, delivered).as_secs_f64() * 1e6, "µs"),
        Figure::new("p50", percentile(&latencies, 0.5), "ms"),
        Figure::new("p99", percentile(&latencies, 0.99), "ms"),
    ])
}

/// Runs senders that each wait for the acknowledgement of a message before they send the next: the rate and the latency.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn sends(server: &Server, senders: usize, rooms: usize, length: Duration) -> Result<Vec<Figure>> {
    let mut open = Vec::new();
    for nth in 0..senders {
        open.push(Sender::open(server, &format!("sender-{nth}"), &room(nth % rooms)).await?);
    }
    let cpu = server.cpu();
    let start = Instant::now();
    let sending = open.into_iter().map(|mut sender| {
        let padding = padding();
        spawn_local(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < length {
                let sent = Instant::now();
                sender.send(&padding).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for task in sending.collect::<Vec<_>>() {
        latencies.extend(task.await??);
    }
    let took = start.elapsed();
    let cpu = server.cpu() - cpu;
    latencies.sort_unstable();
    Ok(vec![
        Figure::new("acknowledged/s", latencies.len() as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU each", per(cpu, latencies.len()).as_secs_f64() * 1e6, "µs"),
        Figure::new("p50", percentile(&latencies, 0.5), "ms"),
        Figure::new("p99", percentile(&latencies, 0.99), "ms"),
    ])
}

/// Opens streams that receive nothing: the rate of the openings, the memory of a stream, and the CPU while all are idle.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn idle(server: &Server, streams: usize, rooms: usize) -> Result<Vec<Figure>> {
    let settle = Duration::from_secs(3);
    let before = server.memory();
    let cpu = server.cpu();
    let start = Instant::now();
    let mut subscribers = Subscribers::open(server, streams / 2, rooms).await?;
    let took = start.elapsed();
    let cpu = server.cpu() - cpu;
    tokio::time::sleep(settle).await;
    let half = server.memory();
    subscribers.open_more(server, streams / 2..streams, rooms).await?;
    tokio::time::sleep(settle).await;
    let all = server.memory();
    let idle = server.cpu();
    tokio::time::sleep(settle).await;
    let idle = server.cpu() - idle;
    ensure!(subscribers.closed() == 0, "{} streams were closed", subscribers.closed());
    let kib = |bytes: usize, count: usize| bytes as f64 / 1024.0 / count as f64;
    Ok(vec![
        Figure::new("opened/s", (streams / 2) as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU per opening", per(cpu, streams / 2).as_secs_f64() * 1e6, "µs"),
        Figure::new("memory per stream", kib(all.saturating_sub(before), streams), "KiB"),
        Figure::new("each further", kib(all.saturating_sub(half), streams - streams / 2), "KiB"),
        Figure::new("CPU while idle", idle.as_secs_f64() / settle.as_secs_f64() * 100.0, "%"),
    ])
}

/// Opens many sessions that join one room at the same time.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn crowd(server: &Server, streams: usize) -> Result<Vec<Figure>> {
    let cpu = server.cpu();
    let start = Instant::now();
    let subscribers = Subscribers::open(server, streams, 1).await?;
    let took = start.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let cpu = server.cpu() - cpu;
    let mut sender = Sender::open(server, "sender", &room(0)).await?;
    sender.send(&subscribers.mark("all")).await?;
    let delivered = subscribers.wait_for(streams, DELIVERY_TIMEOUT).await;
    let closed = subscribers.closed();
    ensure!(delivered == streams && closed == 0, "{delivered} of {streams} were delivered; {closed} streams closed");
    Ok(vec![
        Figure::new("all there after", took.as_secs_f64(), "s"),
        Figure::new("CPU per session", per(cpu, streams).as_secs_f64() * 1e6, "µs"),
        Figure::new("cut off", closed as f64, ""),
    ])
}

/// Reads pages of 100 entries of a long history: the newest, two in the middle, and the oldest.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn history(server: &Server, entries: usize) -> Result<Vec<Figure>> {
    fill(server, entries).await?;
    let mut reader = Sender::open(server, "reader", &room(0)).await?;
    let newest = reader.history().to_owned() + "?limit=100";
    let page = reader.get(&newest).await?;
    let last = page["messages"][0]["seq"].as_i64().unwrap_or_default();
    let forth = format!("{newest}&direction=forward");
    let mut figures = Vec::new();
    for (name, path) in [
        ("newest", newest.clone()),
        ("middle, back", format!("{newest}&at_seq={}", last / 2)),
        ("middle, forth", format!("{forth}&at_seq={}", last / 2)),
        ("oldest", forth.clone()),
    ] {
        let mut latencies = Vec::new();
        for _ in 0..300 {
            let requested = Instant::now();
            let page = reader.get(&path).await?;
            latencies.push(requested.elapsed());
            ensure!(page["messages"].as_array().is_some_and(|page| page.len() == 100), "a page is not full: {path}");
        }
        latencies.sort_unstable();
        figures.push(Figure::new(name, percentile(&latencies, 0.5), "ms p50"));
    }
    Ok(figures)
}

/// Sends `entries` messages to one room.
async fn fill(server: &Server, entries: usize) -> Result<()> {
    let left = Rc::new(Cell::new(entries));
    let mut tasks = Vec::new();
    for nth in 0..128 {
        let mut sender = Sender::open(server, &format!("filler-{nth}"), &room(0)).await?;
        let left = left.clone();
        let padding = padding();
        tasks.push(spawn_local(async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                sender.send(&padding).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Kills the server and starts it again: the time until it responds, and the time until all its streams are open again and
/// have received the message that was sent in between.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn resume(setup: &Setup, server: Server, streams: usize, rooms: usize) -> Result<Vec<Figure>> {
    let mut sessions = Vec::new();
    for nth in 0..streams {
        sessions.push(Session::open(&server.address, &format!("subscriber-{nth}"), &room(nth % rooms)).await?);
    }
    let mut events = Vec::new();
    let mut open = Vec::new();
    for session in sessions {
        events.push(session.events.clone());
        open.push(session.http.events(&session.events).await?);
    }
    for nth in 0..rooms {
        Sender::open(&server, &format!("sender-{nth}"), &room(nth)).await?.send("t@1@missed").await?;
    }
    drop(open);
    let folder = server.kill()?;
    let start = Instant::now();
    let server = setup.start_in(Kind::Parlour, folder).await?;
    let responds_after = start.elapsed();
    let cpu = server.cpu();
    let mut reconnecting = tokio::task::JoinSet::new();
    for path in events {
        let address = server.address.clone();
        reconnecting.spawn_local(async move { reconnect(&address, &path).await });
    }
    let streams = reconnecting.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let took = start.elapsed();
    let cpu = server.cpu() - cpu;
    Ok(vec![
        Figure::new("responds after", responds_after.as_secs_f64() * 1e3, "ms"),
        Figure::new("all caught up after", took.as_secs_f64(), "s"),
        Figure::new("CPU per stream", per(cpu, streams.len()).as_secs_f64() * 1e6, "µs"),
    ])
}

/// Opens a stream and reads it until the missed message has arrived.
async fn reconnect(address: &str, path: &str) -> Result<TcpStream> {
    let (mut stream, mut read) = Http::open(address).await?.events(path).await?;
    while memchr::memmem::find(&read, b"t@1@missed").is_none() {
        let count = stream.read_buf(&mut read).await?;
        ensure!(count > 0, "a stream ended before it had caught up");
    }
    Ok(stream)
}

/// Opens streams that are not read while many messages are sent: the memory of each.
///
/// # Errors
/// If the server cannot be reached, refuses a call, or loses a message.
pub(crate) async fn stalled(server: &Server, readers: usize, messages: usize) -> Result<Vec<Figure>> {
    let mut sender = Sender::open(server, "sender", &room(0)).await?;
    let text = padding() + &"y".repeat(3_800);
    for _ in 0..messages {
        sender.send(&text).await?;
    }
    let before = server.memory();
    let mut stalled = Vec::new();
    for nth in 0..readers {
        let session = Session::open(&server.address, &format!("subscriber-{nth}"), &room(0)).await?;
        let (mut stream, _) = session.http.events(&session.events).await?;
        stream.flush().await?;
        stalled.push(stream); // it is not read from here on
    }
    for _ in 0..messages {
        sender.send(&text).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = server.memory().saturating_sub(before) as f64 / 1024.0 / readers as f64;
    drop(stalled);
    Ok(vec![Figure::new("memory per stalled reader", each, "KiB")])
}
