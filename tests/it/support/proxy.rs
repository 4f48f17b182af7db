//! A proxy before a server of the tests. It does to connections what networks do: it loses, doubles and reorders hints,
//! or stops all bytes without closing the connections.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::Random;

/// The protocol of the server behind the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// PostgreSQL's messages; a notification is a hint. The client must not ask for TLS (`sslmode=disable`).
    Postgres,
    /// NATS' lines; a message is a hint.
    Nats,
}

/// Counts of the hints that were tampered with so far.
#[derive(Default, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: AtomicUsize,
    pub(crate) doubled: AtomicUsize,
    pub(crate) reordered: AtomicUsize,
}

pub(crate) struct Proxy {
    port: u16,
    pub(crate) faults: Arc<Faults>,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    target: String,
    /// The protocol of the hints to tamper with; `None` if all bytes are passed on unchanged.
    speech: Option<Speech>,
    /// True for a connection that hangs: no byte goes either way, and it stays open.
    hung: Mutex<Vec<Arc<AtomicBool>>>,
    /// True if new connections hang, too.
    hanging: AtomicBool,
    faults: Arc<Faults>,
}

impl Proxy {
    /// A proxy before the server at `target`, `HOST:PORT`. Of the hints to a client half are lost, and the others are
    /// doubled and reordered at random. The heartbeats by which an instance checks its connection are not: so it does
    /// not reconcile.
    pub(crate) async fn tampering(target: &str, speech: Speech) -> Self {
        Self::start(target, Some(speech)).await
    }

    /// A proxy that passes all bytes on, until it [hangs](Self::hang).
    pub(crate) async fn faithful(target: &str) -> Self {
        Self::start(target, None).await
    }

    async fn start(target: &str, speech: Option<Speech>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults::default());
        let (hung, hanging) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { target: target.to_owned(), speech, hung, hanging, faults: faults.clone() });
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Self { port, faults, shared, accepting }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From here on no byte passes the open connections, and neither end notices. New connections are accepted and hang
    /// as well, until [`Self::heal`].
    pub(crate) fn hang(&self) {
        self.shared.hanging.store(true, Ordering::Release);
        self.shared.hung.lock().unwrap().iter().for_each(|hung| hung.store(true, Ordering::Release));
    }

    /// New connections work again. The old ones still hang.
    pub(crate) fn heal(&self) {
        self.shared.hanging.store(false, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let hung = Arc::new(AtomicBool::new(shared.hanging.load(Ordering::Acquire)));
        shared.hung.lock().unwrap().push(hung.clone());
        tokio::spawn(carry(client, shared.clone(), hung));
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>, hung: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(&shared.target).await else { return };
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let tampering = shared.speech.map(|speech| Tampering::new(speech, shared.faults.clone()));
    // When one end closes, the other end is closed.
    tokio::select! {
        _ = pump(from_client, to_server, hung.clone(), None) => {}
        _ = pump(from_server, to_client, hung, tampering) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    hung: Arc<AtomicBool>,
    mut tampering: Option<Tampering>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if hung.load(Ordering::Acquire) {
            std::future::pending::<()>().await; // both sockets stay open and are not read
        }
        if read == 0 {
            return Ok(());
        }
        match &mut tampering {
            Some(tampering) => to.write_all(&tampering.pass(&buffer[..read])).await?,
            None => to.write_all(&buffer[..read]).await?,
        }
    }
}

/// Tampers with the hints of one connection.
struct Tampering {
    speech: Speech,
    faults: Arc<Faults>,
    /// The received bytes of a frame that is not complete yet.
    rest: Vec<u8>,
    /// Held hints, which later ones overtake.
    held: VecDeque<Vec<u8>>,
    random: Random,
}

impl Tampering {
    fn new(speech: Speech, faults: Arc<Faults>) -> Self {
        Self { speech, faults, rest: Vec::new(), held: VecDeque::new(), random: Random::new() }
    }

    /// Returns the bytes for the client, from bytes of the server.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(length) = frame(self.speech, &self.rest) {
            let whole: Vec<u8> = self.rest.drain(..length).collect();
            if !is_hint(self.speech, &whole) {
                passed.extend(whole);
            } else if self.random.once_in(2) {
                self.faults.lost.fetch_add(1, Ordering::Relaxed);
            } else {
                if self.random.once_in(2) {
                    self.faults.doubled.fetch_add(1, Ordering::Relaxed);
                    self.held.push_back(whole.clone());
                }
                self.held.push_back(whole);
            }
            if self.random.once_in(2) {
                passed.extend(self.let_go());
            }
        }
        passed
    }

    /// Returns the held hints, in random order.
    fn let_go(&mut self) -> Vec<u8> {
        let held = self.held.make_contiguous();
        if held.len() > 1 {
            self.faults.reordered.fetch_add(1, Ordering::Relaxed);
        }
        self.random.shuffle(held);
        self.held.drain(..).flatten().collect()
    }
}

/// Returns the length of the first frame if it is complete.
fn frame(speech: Speech, bytes: &[u8]) -> Option<usize> {
    let length = match speech {
        // One byte for the type, then the length, which includes itself.
        Speech::Postgres => 1 + u32::from_be_bytes(bytes.get(1..5)?.try_into().unwrap()) as usize,
        // One line; that of a message ends with the length of its payload.
        Speech::Nats => {
            let line = 2 + bytes.windows(2).position(|two| two == b"\r\n")?;
            let text = std::str::from_utf8(&bytes[..line]).unwrap();
            let payload = text.starts_with("MSG ").then(|| text.split_whitespace().last().unwrap());
            line + payload.map_or(0, |length| length.parse::<usize>().unwrap() + 2)
        }
    };
    (bytes.len() >= length).then_some(length)
}

/// True if the frame carries hints. An instance's heartbeat, which goes to itself alone, carries none.
fn is_hint(speech: Speech, frame: &[u8]) -> bool {
    match speech {
        Speech::Postgres => frame[0] == b'A' && !frame.ends_with(b"[]\0"),
        Speech::Nats => frame.starts_with(b"MSG ") && !frame.split(|&b| b == b' ').nth(1).is_some_and(is_own),
    }
}

/// `parlour.EPOCH.node.ID`
fn is_own(subject: &[u8]) -> bool {
    subject.split(|&b| b == b'.').nth(2) == Some(b"node")
}
