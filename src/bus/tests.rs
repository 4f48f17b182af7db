//! The guarantees of every bus to the hub: one suite, run against each bus. It starts a real PostgreSQL and a real NATS
//! server. If one is not installed, it prints that this bus is not tested.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and the panic names the line")]

#[path = "../../tests/it/support/nats.rs"]
mod nats_server;
#[expect(dead_code, reason = "the black-box tests use the rest of it")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

use std::time::{Duration, Instant};

use bytes::Bytes;
use nats_server::NatsServer;
use postgres::Database;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Backend, Bus, Hint, Interest};
use crate::model::{Clock, Effect, Entry, EphemeralEvent, Seq, SessionId, StreamId, TopicId, TopicKey, UserId};

/// The longest wait for a hint or a connection. It is long, as other programs may use every core.
const DEADLINE: Duration = Duration::from_secs(60);

/// The server that carries the hints.
enum Carrier {
    Postgres(Database),
    Nats(NatsServer),
}

impl Carrier {
    /// One of each kind that is installed.
    async fn all() -> Vec<Self> {
        let mut all = Vec::new();
        if is_ci() || postgres::binaries().is_some() {
            all.push(Self::Postgres(Database::create().await));
        }
        if has_nats() {
            all.push(Self::Nats(NatsServer::start().await));
        }
        if all.len() < 2 {
            eprintln!("NOT TESTED: buses whose servers are not installed; .ci/install-test-tools installs them");
        }
        all
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Nats(_) => "nats",
        }
    }

    fn instance(&self, number: u128) -> Instance {
        let route = match self {
            Self::Postgres(database) => Backend::Postgres(SecretString::from(database.url())),
            Self::Nats(server) => Backend::Nats(SecretString::from(server.url())),
        };
        let (bus, hints) = Bus::start(route, Uuid::from_u128(number), 7, Clock::default()).unwrap();
        Instance { bus, hints }
    }

    /// Two instances that get each other's hints of these topics.
    async fn pair(&self, topics: &[TopicKey]) -> (Instance, Instance) {
        let (one, two) = (self.instance(1), self.instance(2));
        for instance in [&one, &two] {
            assert!(instance.bus.connected(DEADLINE).await, "{} connects", self.name());
            topics.iter().for_each(|key| instance.bus.listen(Interest::Topic(*key)));
            instance.bus.settled().await;
        }
        (one, two)
    }

    /// Ends every connection. New ones are accepted at once.
    async fn cut(&mut self) {
        match self {
            Self::Postgres(database) => database.cut("parlour bus").await,
            Self::Nats(server) => {
                server.kill9();
                server.rise().await;
            }
        }
    }
}

/// True in CI, where both servers must be installed.
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

fn has_nats() -> bool {
    is_ci() || nats_server::binary().is_some()
}

struct Instance {
    bus: Bus,
    hints: mpsc::Receiver<Hint>,
}

impl Instance {
    async fn next(&mut self) -> Hint {
        timeout(DEADLINE, self.hints.recv()).await.expect("a hint").expect("the bus runs")
    }

    /// Publishes a marked hint and checks that it is the next: none that was published before it arrives.
    async fn receives_only_the_mark(&mut self, from: &Instance, key: TopicKey) {
        from.bus.publish(Hint::Pruned { key, up_to: Seq(99) });
        let hint = self.next().await;
        assert!(matches!(hint, Hint::Pruned { up_to: Seq(99), .. }), "{hint:?}");
    }
}

fn appended(key: TopicKey, seqs: impl IntoIterator<Item = i64>, size: usize) -> Hint {
    let json = |seq| Bytes::from(format!(r#"{{"seq":{seq},"content":"{}"}}"#, "é".repeat(size / 2)));
    let entries: Vec<_> = seqs
        .into_iter()
        .map(|seq| Entry { seq: Seq(seq), json: json(seq), effect: Effect::None, edited: false })
        .collect();
    let last = entries.last().map_or(Seq(0), |entry| entry.seq);
    Hint::Appended { key, topic: TopicId::stored("room:a"), entries, last }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_publishes_every_other_receives_and_not_itself() {
    for carrier in Carrier::all().await {
        let (mut one, mut two) = carrier.pair(&[1]).await;
        let mut three = carrier.instance(3);
        three.bus.listen(Interest::Topic(1));
        assert!(three.bus.connected(DEADLINE).await);
        three.bus.settled().await;
        let hint = appended(1, 1..=3, 10);
        one.bus.publish(hint.clone());
        for other in [&mut two, &mut three] {
            assert_eq!(format!("{:?}", other.next().await), format!("{hint:?}"), "{}", carrier.name());
        }
        two.bus.publish(Hint::Presence { topics: vec![1] });
        // A hint of its own would come first.
        assert!(matches!(one.next().await, Hint::Presence { .. }), "{}", carrier.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_hint_arrives() {
    let (session, user) = (SessionId(Uuid::from_u128(9)), UserId::parse("a.b|c..d").unwrap());
    for carrier in Carrier::all().await {
        let (one, mut two) = carrier.pair(&[1]).await;
        two.bus.listen(Interest::Session(session));
        two.bus.settled().await;
        let hints = [Hint::Joins { session }, Hint::Opened { session, stream: StreamId(4) }, Hint::Ended { session }];
        for hint in hints {
            one.bus.publish(hint.clone());
            assert_eq!(format!("{:?}", two.next().await), format!("{hint:?}"), "{}", carrier.name());
        }
        // A user's sessions get hints of a direct message topic that none of them has joined.
        two.bus.listen(Interest::User(user.clone()));
        two.bus.settled().await;
        let topic = TopicId::dm(&user, &UserId::parse("zoe").unwrap()).unwrap();
        one.bus.publish(Hint::Appended { key: 55, topic: topic.clone(), entries: Vec::new(), last: Seq(8) });
        match two.next().await {
            Hint::Appended { topic: there, last, .. } | Hint::Activity { topic: there, last, .. } => {
                assert_eq!((there, last), (topic, Seq(8)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heaps_and_giants_arrive_whole_and_in_order() {
    for carrier in Carrier::all().await {
        let (one, mut two) = carrier.pair(&[1]).await;
        for first in (1..=2_000).step_by(20) {
            one.bus.publish(appended(1, first..first + 20, 300));
        }
        let message = Bytes::from(format!("\"{}\"", "a".repeat(200_000)));
        one.bus.publish(Hint::Ephemeral { key: 1, after: Seq(2_000), what: EphemeralEvent::Message(message.clone()) });
        one.bus.publish(appended(1, [2_001], 100_000));
        let mut next = 1;
        while next <= 2_000 {
            let Hint::Appended { entries, last, .. } = two.next().await else { panic!("no entries") };
            for entry in &entries {
                assert_eq!(entry.seq, Seq(next), "{}", carrier.name());
                next += 1;
            }
            assert_eq!(last, Seq(next - 1));
        }
        assert!(
            matches!(two.next().await, Hint::Ephemeral { what: EphemeralEvent::Message(json), .. } if json == message),
            "{}",
            carrier.name()
        );
        assert!(matches!(two.next().await, Hint::Appended { last: Seq(2_001), .. }), "{}", carrier.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_way_is_found_out_and_comes_back() {
    for mut carrier in Carrier::all().await {
        let (one, mut two) = carrier.pair(&[1]).await;
        let mut down = two.bus.health();
        let name = carrier.name();
        carrier.cut().await;
        timeout(DEADLINE, down.wait_for(|up| !up)).await.expect(name).unwrap();
        for instance in [&one, &two] {
            assert!(instance.bus.connected(DEADLINE).await, "{name} comes back");
            instance.bus.settled().await;
        }
        // Hints that are published meanwhile may be lost; but then `Lost` arrives.
        one.bus.publish(appended(1, [5], 10));
        loop {
            match two.next().await {
                Hint::Appended { last, .. } => break assert_eq!(last, Seq(5)),
                Hint::Lost => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_never_waits_and_dropped_hints_are_reported_as_lost() {
    if !has_nats() {
        return;
    }
    let mut carrier = Carrier::Nats(NatsServer::absent());
    let (one, mut two) = (carrier.instance(1), carrier.instance(2));
    two.bus.listen(Interest::Topic(1));
    assert!(!one.bus.connected(Duration::from_millis(200)).await, "nobody is there");
    let since = Instant::now();
    (0..50_000).for_each(|seq| one.bus.publish(appended(1, [seq], 1_000)));
    one.bus.settled().await;
    assert!(since.elapsed() < DEADLINE, "{:?}", since.elapsed());
    let Carrier::Nats(server) = &mut carrier else { unreachable!() };
    server.rise().await;
    assert!(one.bus.connected(DEADLINE).await && two.bus.connected(DEADLINE).await);
    two.bus.settled().await;
    one.bus.publish(appended(1, [60_000], 10));
    let told = [two.next().await, two.next().await]; // over two subjects, so in any order
    assert!(told.iter().any(|hint| matches!(hint, Hint::Lost)), "{told:?}");
    assert!(told.iter().any(|hint| matches!(hint, Hint::Appended { last: Seq(60_000), .. })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_found_later() {
    let url = format!("postgres://parlour@127.0.0.1:{}/parlour", postgres::free_port());
    let route = Backend::Postgres(SecretString::from(url));
    let (bus, _heard) = Bus::start(route, Uuid::from_u128(1), 7, Clock::default()).unwrap();
    assert!(!bus.connected(Duration::from_millis(300)).await);
    bus.publish(Hint::Lost);
    let since = Instant::now();
    bus.close().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_nats_only_those_who_listen_receive() {
    if !has_nats() {
        return;
    }
    let carrier = Carrier::Nats(NatsServer::start().await);
    let (one, mut two) = carrier.pair(&[1]).await;
    one.bus.publish(appended(2, [1], 10));
    two.receives_only_the_mark(&one, 1).await;
    // Two calls of `listen` and one of `unlisten` leave one interest.
    two.bus.listen(Interest::Topic(1));
    two.bus.unlisten(&Interest::Topic(1));
    two.bus.settled().await;
    two.receives_only_the_mark(&one, 1).await;
    two.bus.unlisten(&Interest::Topic(1));
    two.bus.listen(Interest::Topic(3));
    two.bus.settled().await;
    one.bus.publish(appended(1, [1], 10));
    two.receives_only_the_mark(&one, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_nats_cluster_one_server_may_go() {
    if !has_nats() {
        return;
    }
    let [mut first, second] = NatsServer::cluster().await;
    let urls = format!("{}, {}", first.url(), second.url());
    let start = |number| {
        let route = Backend::Nats(SecretString::from(urls.clone()));
        Bus::start(route, Uuid::from_u128(number), 7, Clock::default()).unwrap()
    };
    let ((one, _), (two, mut hints)) = (start(1), start(2));
    two.listen(Interest::Topic(1));
    let receives = async |hints: &mut mpsc::Receiver<Hint>, seq| {
        assert!(one.connected(DEADLINE).await && two.connected(DEADLINE).await);
        two.settled().await;
        // One server of the two confirms an interest a little before the other knows it.
        let since = Instant::now();
        loop {
            one.publish(Hint::Pruned { key: 1, up_to: Seq(seq) });
            match timeout(Duration::from_millis(100), hints.recv()).await {
                Ok(Some(Hint::Pruned { up_to, .. })) if up_to == Seq(seq) => return,
                _ => assert!(since.elapsed() < DEADLINE, "hint {seq} does not arrive"),
            }
        }
    };
    receives(&mut hints, 1).await;
    first.kill9();
    receives(&mut hints, 2).await;
    first.rise().await;
    receives(&mut hints, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_end() {
    for carrier in Carrier::all().await {
        let (one, mut two) = carrier.pair(&[1]).await;
        (1..=500).for_each(|seq| one.bus.publish(appended(1, [seq], 500)));
        one.bus.close().await;
        for seq in 1..=500 {
            assert!(matches!(two.next().await, Hint::Appended { last, .. } if last == Seq(seq)), "{}", carrier.name());
        }
        // The other instance stays healthy after the first has closed.
        sleep(Duration::from_millis(100)).await;
        assert!(two.bus.healthy(), "{}", carrier.name());
    }
}

#[tokio::test]
async fn alone_there_is_nobody_to_tell_and_nothing_to_wait_for() {
    let (bus, mut hints) = Bus::start(Backend::Local, Uuid::from_u128(1), 7, Clock::default()).unwrap();
    assert!(bus.is_local() && bus.healthy() && bus.connected(Duration::ZERO).await);
    bus.listen(Interest::Topic(1));
    bus.publish(appended(1, [1], 10));
    bus.settled().await;
    assert!(hints.try_recv().is_err());
    bus.close().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_showing_it() {
    for route in [Backend::Nats, Backend::Postgres] {
        let refused = Bus::start(route(SecretString::from("x://u:hidden@h:port")), Uuid::nil(), 7, Clock::default());
        assert!(!refused.err().unwrap().to_string().contains("hidden"));
    }
}
