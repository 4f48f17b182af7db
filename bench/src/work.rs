//! The works that are measured. Each has a server of its own, and answers figures for the table.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::chat::{Sender, Session};
use crate::ears::{Ears, room};
use crate::server::{Kind, Server, Setup};
use crate::stats::{Figure, per, percentile};

/// 200 bytes, as a message of a chat may have.
fn padding() -> String {
    "x".repeat(200)
}

/// Messages at a steady rate into rooms full of streams: what a delivery costs, and how late it is.
pub async fn fanout(server: &Server, streams: usize, rooms: usize, rate: f64, length: Duration) -> Result<Vec<Figure>> {
    let ears = Ears::open(server, streams, rooms).await?;
    let mut senders = Vec::new();
    for nth in 0..rooms {
        senders.push(Sender::open(server, &format!("sender-{nth}"), &room(nth)).await?);
    }
    tokio::time::sleep(Duration::from_secs(2)).await; // presence has been told
    let (cpu, start) = (server.cpu(), Instant::now());
    let (ears, sent) = (Rc::new(ears), Rc::new(Cell::new(0)));
    let gap = Duration::from_secs_f64(rooms as f64 / rate);
    let sending = senders.into_iter().enumerate().map(|(nth, mut sender)| {
        let (ears, sent, padding) = (ears.clone(), sent.clone(), padding());
        let mut due = start + gap.mul_f64(nth as f64 / rooms as f64);
        spawn_local(async move {
            while due < start + length {
                tokio::time::sleep_until(due.into()).await;
                sender.say(&ears.mark(&padding)).await?;
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
    let delivered = ears.wait_for(expected, Duration::from_secs(30)).await;
    let (took, cpu) = (start.elapsed(), server.cpu() - cpu);
    ensure!(delivered == expected && ears.closed() == 0, "{delivered} of {expected} came; {} closed", ears.closed());
    let latencies = ears.latencies();
    Ok(vec![
        Figure::new("deliveries/s", delivered as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU per delivery", per(cpu, delivered).as_secs_f64() * 1e6, "µs"),
        Figure::new("p50", percentile(&latencies, 0.5), "ms"),
        Figure::new("p99", percentile(&latencies, 0.99), "ms"),
    ])
}

/// Senders that each wait for their acknowledgement before they say more.
pub async fn send(server: &Server, senders: usize, rooms: usize, length: Duration) -> Result<Vec<Figure>> {
    let mut open = Vec::new();
    for nth in 0..senders {
        open.push(Sender::open(server, &format!("sender-{nth}"), &room(nth % rooms)).await?);
    }
    let (cpu, start) = (server.cpu(), Instant::now());
    let sending = open.into_iter().map(|mut sender| {
        let padding = padding();
        spawn_local(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < length {
                let sent = Instant::now();
                sender.say(&padding).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for task in sending.collect::<Vec<_>>() {
        latencies.extend(task.await??);
    }
    let (took, cpu) = (start.elapsed(), server.cpu() - cpu);
    latencies.sort_unstable();
    Ok(vec![
        Figure::new("acknowledged/s", latencies.len() as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU each", per(cpu, latencies.len()).as_secs_f64() * 1e6, "µs"),
        Figure::new("p50", percentile(&latencies, 0.5), "ms"),
        Figure::new("p99", percentile(&latencies, 0.99), "ms"),
    ])
}

/// Streams that nothing comes over: how quickly they open, what each takes, and what all cost by being there.
pub async fn idle(server: &Server, streams: usize, rooms: usize) -> Result<Vec<Figure>> {
    let settle = Duration::from_secs(3);
    let before = server.memory();
    let (cpu, start) = (server.cpu(), Instant::now());
    let mut ears = Ears::open(server, streams / 2, rooms).await?;
    let (took, cpu) = (start.elapsed(), server.cpu() - cpu);
    tokio::time::sleep(settle).await;
    let half = server.memory();
    ears.open_more(server, streams / 2..streams, rooms).await?;
    tokio::time::sleep(settle).await;
    let all = server.memory();
    let idle = server.cpu();
    tokio::time::sleep(settle).await;
    let idle = server.cpu() - idle;
    ensure!(ears.closed() == 0, "{} streams were closed", ears.closed());
    let kib = |bytes: usize, count: usize| bytes as f64 / 1024.0 / count as f64;
    Ok(vec![
        Figure::new("opened/s", (streams / 2) as f64 / took.as_secs_f64(), ""),
        Figure::new("CPU per opening", per(cpu, streams / 2).as_secs_f64() * 1e6, "µs"),
        Figure::new("memory per stream", kib(all.saturating_sub(before), streams), "KiB"),
        Figure::new("each further", kib(all.saturating_sub(half), streams - streams / 2), "KiB"),
        Figure::new("CPU while idle", idle.as_secs_f64() / settle.as_secs_f64() * 100.0, "%"),
    ])
}

/// Many sessions that come to one room at once.
pub async fn crowd(server: &Server, streams: usize) -> Result<Vec<Figure>> {
    let (cpu, start) = (server.cpu(), Instant::now());
    let ears = Ears::open(server, streams, 1).await?;
    let took = start.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let cpu = server.cpu() - cpu;
    let mut sender = Sender::open(server, "sender", &room(0)).await?;
    sender.say(&ears.mark("all")).await?;
    let came = ears.wait_for(streams, Duration::from_secs(30)).await;
    ensure!(came == streams && ears.closed() == 0, "{came} of {streams} heard; {} closed", ears.closed());
    Ok(vec![
        Figure::new("all there after", took.as_secs_f64(), "s"),
        Figure::new("CPU per session", per(cpu, streams).as_secs_f64() * 1e6, "µs"),
        Figure::new("cut off", ears.closed() as f64, ""),
    ])
}

/// Pages of 100 of a long history: the newest, from the middle, and the oldest.
pub async fn history(server: &Server, entries: usize) -> Result<Vec<Figure>> {
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
            let asked = Instant::now();
            let page = reader.get(&path).await?;
            latencies.push(asked.elapsed());
            ensure!(page["messages"].as_array().is_some_and(|page| page.len() == 100), "a page is not full: {path}");
        }
        latencies.sort_unstable();
        figures.push(Figure::new(name, percentile(&latencies, 0.5), "ms p50"));
    }
    Ok(figures)
}

async fn fill(server: &Server, entries: usize) -> Result<()> {
    let left = Rc::new(Cell::new(entries));
    let mut tasks = Vec::new();
    for nth in 0..128 {
        let mut sender = Sender::open(server, &format!("filler-{nth}"), &room(0)).await?;
        let (left, padding) = (left.clone(), padding());
        tasks.push(spawn_local(async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                sender.say(&padding).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// A server that is killed and started again: how soon it answers, and how soon all its streams are back, each with the
/// message that came meanwhile.
pub async fn resume(setup: &Setup, server: Server, streams: usize, rooms: usize) -> Result<Vec<Figure>> {
    let mut sessions = Vec::new();
    for nth in 0..streams {
        sessions.push(Session::open(&server.address, &format!("ear-{nth}"), &room(nth % rooms)).await?);
    }
    let mut events = Vec::new();
    let mut open = Vec::new();
    for session in sessions {
        events.push(session.events.clone());
        open.push(session.http.events(&session.events).await?);
    }
    for nth in 0..rooms {
        Sender::open(&server, &format!("sender-{nth}"), &room(nth)).await?.say("t@1@missed").await?;
    }
    drop(open);
    let folder = server.kill()?;
    let start = Instant::now();
    let server = setup.start_in(Kind::Parlour, folder).await?;
    let answers = start.elapsed();
    let (mut back, cpu) = (tokio::task::JoinSet::new(), server.cpu());
    for path in events {
        let address = server.address.clone();
        back.spawn_local(async move { until_marked(&address, &path).await });
    }
    let streams = back.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let (took, cpu) = (start.elapsed(), server.cpu() - cpu);
    Ok(vec![
        Figure::new("answers after", answers.as_secs_f64() * 1e3, "ms"),
        Figure::new("all caught up after", took.as_secs_f64(), "s"),
        Figure::new("CPU per stream", per(cpu, streams.len()).as_secs_f64() * 1e6, "µs"),
    ])
}

/// Opens a stream and reads until what was missed has come.
async fn until_marked(address: &str, path: &str) -> Result<TcpStream> {
    let (mut stream, mut read) = crate::http::Http::open(address).await?.events(path).await?;
    while memchr::memmem::find(&read, b"t@1@missed").is_none() {
        let count = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut read).await?;
        ensure!(count > 0, "a stream ended before it had caught up");
    }
    Ok(stream)
}

/// Readers that stop reading while much is said: what each of them takes.
pub async fn stalled(server: &Server, readers: usize, messages: usize) -> Result<Vec<Figure>> {
    let mut sender = Sender::open(server, "sender", &room(0)).await?;
    let mut warm = padding();
    warm.push_str(&"y".repeat(3_800));
    for _ in 0..messages {
        sender.say(&warm).await?;
    }
    let before = server.memory();
    let mut stalled = Vec::new();
    for nth in 0..readers {
        let session = Session::open(&server.address, &format!("ear-{nth}"), &room(0)).await?;
        let (mut stream, _) = session.http.events(&session.events).await?;
        stream.flush().await?;
        stalled.push(stream); // and never read from
    }
    for _ in 0..messages {
        sender.say(&warm).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = server.memory().saturating_sub(before) as f64 / 1024.0 / readers as f64;
    drop(stalled);
    Ok(vec![Figure::new("memory per stalled reader", each, "KiB")])
}
