//! An instance that is frozen for a minute and woken, as serverless platforms do with instances that have no request.
//! Meanwhile its lease expired, its sessions went offline, some of them moved, and clients retried their calls at other
//! instances.

use futures_util::future::join_all;
use reqwest::Method;

use super::*;
use crate::support::{ServerProcess, messages_of, seqs, text};

const MINUTE: Duration = Duration::from_secs(60);
const SENDS: usize = 20;

fn signal(process: &ServerProcess, name: &str) {
    assert!(Command::new("kill").args([name, &process.pid().to_string()]).status().unwrap().success());
}

fn send(session: &Session, number: usize) -> impl Future<Output = Option<u16>> + use<> {
    let call = session.call(Method::POST, &messages_of(ROOM)).header("idempotency-key", &format!("key-{number}"));
    let call = call.json(&json!({"content": number}));
    async move { call.try_send().await.ok().map(|reply| reply.status) }
}

/// Returns the changes of one session's presence on a stream until then: `true` for a join, `false` for a leave.
async fn comings_and_goings(stream: &mut EventStream, of: &Session, until: Instant) -> Vec<bool> {
    let mut seen = Vec::new();
    while let Next::Event(event) = stream.next_until(until).await {
        if leaves(&event.data, of) {
            seen.push(false);
        }
        if joins(&event.data, of) {
            seen.push(true);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_frozen_for_a_minute_and_woken_recovers_by_itself() {
    tokio::join!(frozen_for_a_minute(Route::Postgres), frozen_for_a_minute(Route::Nats));
}

/// The lease and the grace period have their defaults: 10 and 15 seconds.
async fn frozen_for_a_minute(route: Route) {
    let flags = ["--presence-grace", "15s"];
    let Some(cluster) = Cluster::start(route, &flags).await else { return };
    let third = cluster.process(&flags).await;
    let (ana, bob, cleo) = (third.session("Ana").await, cluster.two.session("Bob").await, third.session("Cleo").await);
    for session in [&ana, &bob, &cleo] {
        session.join(ROOM).await;
    }
    let (mut anas, mut old) = (ana.stream().await, cleo.stream().await);
    let mut bobs = [bob.stream().await, cluster.two.session("Bob").await.stream().await];
    anas.ready().await;
    old.ready().await;
    within(&mut bobs[0], SOON, "presence_state", |_| true).await;
    sleep(Duration::from_secs(2)).await;

    // Some of these sends are stored without a response; some are not even read.
    let asked: Vec<_> = (0..SENDS).map(|number| tokio::spawn(send(&ana, number))).collect();
    sleep(Duration::from_millis(30)).await;
    signal(&third, "-STOP");
    let frozen = Instant::now();
    let elsewhere = ana.at(&cluster.one);
    let again = join_all((0..SENDS).map(|number| send(&elsewhere, number))).await;
    assert!(again.iter().all(|status| matches!(status, Some(200 | 201))), "{again:?}");
    let mut moved = cleo.at(&cluster.one).stream_from(&old.last_id()).await;
    let [watching, _] = &mut bobs;
    let anas_way = comings_and_goings(watching, &ana, frozen + MINUTE).await;
    assert_eq!(anas_way, [false], "{route:?}: gone once, by the lease and the grace period");
    assert!(bob.present(ROOM).await.contains(&cleo.id), "who has moved is there");

    signal(&third, "-CONT");
    let woken = Instant::now();
    let answers = join_all(asked).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    // The callers may have timed out by now.
    assert!(answers.iter().all(|status| matches!(status, None | Some(200 | 201 | 503))), "{answers:?}");
    assert_eq!(within(&mut old, LATER, "bye", |_| true).await.data["reason"], "replaced");
    let (anas_way, received, moved) = tokio::join!(
        comings_and_goings(watching, &ana, woken + Duration::from_secs(15)),
        anas.messages(SENDS),
        moved.messages(SENDS),
    );
    assert_eq!(anas_way, [true], "{route:?}: back, once");
    let history = bob.whole_history(ROOM).await;
    assert_eq!(seqs(&history), (1..=SENDS as u64).collect::<Vec<_>>(), "each once");
    assert_eq!((&received, &moved), (&history, &history));
    let present = bob.present(ROOM).await;
    assert!([&ana, &cleo].iter().all(|session| present.contains(&session.id)), "{present:?}");
    assert_eq!(present.len(), 3, "no ghosts: {present:?}");
}

/// A lock that a frozen instance holds in the database ends before those who wait for it give up.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_frozen_in_a_transaction_holds_nobody_up() {
    let Some(cluster) = Cluster::start(Route::Postgres, &[]).await else { return };
    let third = cluster.process(&[]).await;
    let (ana, bob) = (third.session("Ana").await, cluster.one.session("Bob").await);
    for session in [&ana, &bob] {
        session.join(ROOM).await;
    }
    // An edit is a transaction of several statements; a single send is one statement.
    let sent = ana.send(ROOM, json!("said")).await;
    let edit = ana.call(Method::PATCH, &format!("{}/{}", messages_of(ROOM), text(&sent, "id")));
    let edit = edit.json(&json!({"content": "edited"}));
    // Slow enough to freeze the instance in the middle.
    for sql in [
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$",
        "CREATE TRIGGER slowly BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION slowly()",
    ] {
        cluster.database.execute(sql).await;
    }
    let asked = tokio::spawn(async move { edit.try_send().await.ok().map(|reply| reply.status) });
    let backend = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parlour%'";
    cluster.database.wait_until(&format!("SELECT count(*) = 1 {backend} AND wait_event = 'PgSleep'")).await;
    signal(&third, "-STOP");
    // Its statement has ended, and it has not read that.
    cluster.database.wait_until(&format!("SELECT count(*) = 1 {backend} AND state = 'idle in transaction'")).await;
    let began = Instant::now();
    assert_eq!(bob.try_send(ROOM, json!("meanwhile")).await.status, 201);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    signal(&third, "-CONT");
    assert!(matches!(asked.await.unwrap(), None | Some(503)), "it cannot have been stored");
    let history = bob.whole_history(ROOM).await;
    assert_eq!(
        history.iter().map(|message| &message["content"]).collect::<Vec<_>>(),
        [&json!("said"), &json!("meanwhile")]
    );
}
