//! Three instances as real processes, with sixteen senders and two listeners each, while instances, the bus and the
//! database fail. On SQLite there is one instance only, and these tests do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{
    Api, Cluster, EventStream, Next, Route, ServerProcess, Session, Tally, messages_of, number, seqs,
};

const ROOM: &str = "room:everyone";
const INSTANCES: usize = 3;
const SENDERS: usize = 16;
const LISTENERS: usize = 2;
const DEADLINE: Duration = Duration::from_secs(90);

struct Trio {
    instances: Vec<ServerProcess>,
    cluster: Cluster,
    /// Messages acknowledged so far.
    sent: Arc<AtomicUsize>,
}

impl Trio {
    async fn start(route: Route) -> Option<Self> {
        let flags = ["--stream-replay", "100000", "--lease", "2s", "--presence-grace", "1s", "--log", "warn"];
        let cluster = Cluster::start(route, &flags).await?;
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(cluster.process(&flags).await);
        }
        Some(Self { instances, cluster, sent: Arc::default() })
    }

    fn homes(&self) -> Arc<[Api]> {
        self.instances.iter().map(|instance| (**instance).clone()).collect()
    }

    /// Waits until this many more messages have been acknowledged.
    async fn progress(&self, messages: usize) {
        let target = self.sent.load(Ordering::Relaxed) + messages;
        let since = Instant::now();
        while self.sent.load(Ordering::Relaxed) < target {
            assert!(since.elapsed() < DEADLINE, "no progress");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A client of the service. It tries one instance after the other until one responds.
#[derive(Clone)]
struct Client {
    session: Session,
    homes: Arc<[Api]>,
    home: usize,
}

impl Client {
    fn move_on(&mut self) {
        self.home += 1;
        self.session = self.session.at(&self.homes[self.home % self.homes.len()]);
    }

    /// Sends until the send is acknowledged, with one key.
    async fn send(&mut self, content: &Value) -> Value {
        let (key, body) = (uuid::Uuid::now_v7().to_string(), json!({"content": content}));
        let since = Instant::now();
        loop {
            let call = self.session.call(Method::POST, &messages_of(ROOM)).header("idempotency-key", &key).json(&body);
            match call.try_send().await {
                Ok(reply) if [200, 201].contains(&reply.status) => return reply.json(),
                Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                Err(_) => {}
            }
            assert!(since.elapsed() < DEADLINE, "nobody takes a message");
            sleep(Duration::from_millis(50)).await;
            self.move_on();
        }
    }

    /// Opens the stream at the first instance that does.
    async fn open(&mut self, id: Option<&str>) -> EventStream {
        let since = Instant::now();
        loop {
            let call = self.session.api.get(&self.session.events_url).header("accept", "text/event-stream");
            let call = if let Some(id) = id { call.header("last-event-id", id) } else { call };
            if let Some(stream) = call.try_open().await {
                return EventStream::of(stream, id);
            }
            assert!(since.elapsed() < DEADLINE, "nobody opens the stream");
            sleep(Duration::from_millis(50)).await;
            self.move_on();
        }
    }

    /// Reads up to the last message. When a stream ends, it resumes with the last id at the next instance.
    async fn listen(mut self) -> Vec<Value> {
        let (mut tally, mut seen) = (Tally::default(), Vec::new());
        tally.starts(ROOM, 0);
        let mut stream = self.open(None).await;
        let mut id: Option<String> = None;
        loop {
            match stream.next_until(Instant::now() + DEADLINE).await {
                Next::Event(event) if event.event == "bye" => assert_eq!(event.data["reason"], "shutdown"),
                Next::Event(event) => {
                    id = event.id.clone().or(id);
                    if tally.take(&event) {
                        let last = event.data["content"] == "end";
                        seen.push(event.data);
                        if last {
                            return seen;
                        }
                    }
                }
                Next::End | Next::Broken => {
                    sleep(Duration::from_millis(20)).await;
                    self.move_on();
                    stream = self.open(id.as_deref()).await;
                }
                Next::Silence => panic!("silence after {} messages", seen.len()),
            }
        }
    }
}

async fn clients(homes: &Arc<[Api]>, name: &str, each: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..each * INSTANCES {
        let home = number % INSTANCES;
        let session = Session::of_device(&homes[home], &format!("{name}{number}")).await;
        session.join(ROOM).await;
        clients.push(Client { session, homes: homes.clone(), home });
    }
    clients
}

/// All clients send and listen while `happens` runs. Then each acknowledged message is in the log once, and every
/// listener has received the whole log once, in its order.
async fn through(route: Route, happens: impl AsyncFn(&mut Trio)) {
    let Some(mut trio) = Trio::start(route).await else { return };
    let homes = trio.homes();
    let listeners = clients(&homes, "listener", LISTENERS).await;
    let senders = clients(&homes, "sender", SENDERS).await;
    let mut closing = senders[0].clone();
    let listening: Vec<_> = listeners.iter().cloned().map(|client| tokio::spawn(client.listen())).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let sending: Vec<_> = senders
        .into_iter()
        .enumerate()
        .map(|(at, mut sender)| {
            let (stop, count) = (stop.clone(), trio.sent.clone());
            tokio::spawn(async move {
                let mut sent = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    sent.push(sender.send(&json!([at, sent.len()])).await);
                    count.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(30)).await;
                }
                sent
            })
        })
        .collect();
    trio.progress(200).await;
    happens(&mut trio).await;
    trio.progress(200).await;
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<Vec<Value>> = join_all(sending).await.into_iter().map(Result::unwrap).collect();
    closing.send(&json!("end")).await;
    let received: Vec<Vec<Value>> = join_all(listening).await.into_iter().map(Result::unwrap).collect();

    let history = listeners[0].session.at(&trio.cluster.one).whole_history(ROOM).await;
    assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>(), "dense");
    assert_eq!(history.len(), 1 + sent.iter().map(Vec::len).sum::<usize>(), "each send once, however often repeated");
    for of_one in &sent {
        assert!(seqs(of_one).is_sorted(), "a sender's own messages stay in order");
        for message in of_one {
            let at = usize::try_from(number(message, "seq")).unwrap() - 1;
            assert_eq!(&history[at], message, "what was acknowledged is what is there");
        }
    }
    for (listener, received) in received.iter().enumerate() {
        assert!(received == &history, "listener {listener} of {route:?} has seen the log, whole and in its order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_are_one_order_dense_and_each_message_once() {
    for route in [Route::Postgres, Route::Nats] {
        through(route, async |trio| trio.progress(400).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_killed_loses_and_doubles_nothing() {
    for route in [Route::Postgres, Route::Nats] {
        through(route, async |trio| {
            trio.instances[1].kill9();
            trio.progress(400).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_all_three_loses_and_doubles_nothing() {
    for route in [Route::Postgres, Route::Nats] {
        through(route, async |trio| {
            for at in 0..INSTANCES {
                let since = Instant::now();
                let status = trio.instances[at].terminate().await;
                assert!(status.success(), "{status}:\n{}", trio.instances[at].log());
                assert!(since.elapsed() < DEADLINE, "gone after {:?}", since.elapsed());
                trio.progress(50).await;
                trio.instances[at].restart().await;
                trio.progress(50).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_killed_and_back_loses_and_doubles_nothing() {
    through(Route::Nats, async |trio| {
        trio.cluster.nats.as_mut().unwrap().kill9();
        trio.progress(400).await;
        trio.cluster.nats.as_mut().unwrap().rise().await;
        trio.progress(200).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_to_postgres_ended_loses_and_doubles_nothing() {
    for route in [Route::Postgres, Route::Nats] {
        through(route, async |trio| {
            for _ in 0..4 {
                trio.cluster.database.cut("%").await;
                trio.progress(100).await;
            }
        })
        .await;
    }
}
