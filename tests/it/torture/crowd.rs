//! A thousand sessions in one room, each with a stream of its own.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{Api, DEADLINE, RawStream, Reply, ServerProcess, Session};

const SESSIONS: usize = 1_000;
const ROOM: &str = "room:hall";

/// A thousand connections here and a thousand in the server: more than what many systems allow at first.
fn allow_many_files() {
    let allowed =
        Command::new("prlimit").args(["--nofile=8192:", "--pid"]).arg(std::process::id().to_string()).status();
    assert!(allowed.is_ok_and(|status| status.success()), "this test needs 8192 open files: ulimit -Hn");
}

/// The session ids in a list of presences, found without parsing a megabyte of JSON for each of a thousand readers.
fn session_ids(list: &str) -> impl Iterator<Item = &str> {
    list.split("\"session_id\":\"").skip(1).map(|rest| &rest[..36])
}

/// A call as a client makes it: a service that is busy may tell it to come back later.
async fn patiently(call: impl AsyncFn() -> Reply) -> Reply {
    let since = Instant::now();
    loop {
        let reply = call().await;
        if reply.status != 503 || since.elapsed() > 6 * DEADLINE {
            return reply;
        }
        sleep(Duration::from_secs(reply.header("retry-after").parse().unwrap())).await;
    }
}

/// A session that has joined the room, and its stream, which has begun.
async fn enter(server: &Api, name: &str) -> (Session, RawStream) {
    let device = json!({"device_id": format!("the device of {name}"), "username": name});
    let opened = patiently(async || server.post("/v1/sessions").json(&device).send().await).await;
    let session = Session::of_answer(server, &opened.expect(201));
    patiently(async || session.try_join(ROOM).await).await.expect(200);
    loop {
        let mut stream = RawStream::open(&session, None, None).await;
        // To a stream, "come back later" is an end without an event.
        if let Some(first) = stream.next(DEADLINE).await {
            assert_eq!(first.event, "ready");
            return (session, stream);
        }
    }
}

/// Follows the presence of the room until everybody is there, then waits for the message.
async fn follow(session: Session, mut stream: RawStream, complete: Arc<AtomicUsize>) -> BTreeSet<String> {
    let mut present: BTreeSet<String> = BTreeSet::new();
    let mut counted = false;
    loop {
        let Some(frame) = stream.next(Duration::from_secs(90)).await else {
            panic!("{} was cut off with {} present", session.username, present.len());
        };
        match frame.event.as_str() {
            "presence_state" => present = session_ids(&frame.data).map(ToOwned::to_owned).collect(),
            "presence" => {
                assert!(!frame.data.contains("\"truncated\":true"), "the whole set is asked for");
                // `joins` comes first, or `leaves`: whichever, each list goes up to the other's name.
                let (joins, leaves) = difference(&frame.data);
                for id in session_ids(leaves) {
                    present.remove(id);
                }
                present.extend(session_ids(joins).map(ToOwned::to_owned));
            }
            "message" => return present,
            other => panic!("{other}: {}", frame.data),
        }
        if !counted && present.len() == SESSIONS {
            counted = true;
            complete.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The texts of a difference's two lists.
fn difference(data: &str) -> (&str, &str) {
    let (joins, leaves) = (data.find("\"joins\":").unwrap(), data.find("\"leaves\":").unwrap());
    if joins < leaves { (&data[joins..leaves], &data[leaves..]) } else { (&data[joins..], &data[leaves..joins]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sessions_stream_from_one_room_and_end_with_the_same_presence() {
    allow_many_files();
    let flags = ["--presence-list", "2000", "--presence-interval", "1s", "--presence-grace", "60s"];
    let server = ServerProcess::start(&flags).await;
    let complete = Arc::new(AtomicUsize::new(0));
    let followers: Vec<_> = iter(0..SESSIONS)
        .map(|number| {
            let (server, complete) = (&server, Arc::clone(&complete));
            async move {
                let (session, stream) = enter(server, &format!("guest {number}")).await;
                let id = session.id.clone();
                (id, session.clone(), tokio::spawn(follow(session, stream, complete)))
            }
        })
        .buffer_unordered(32)
        .collect()
        .await;

    let since = Instant::now();
    while complete.load(Ordering::Relaxed) < SESSIONS {
        let (count, waited) = (complete.load(Ordering::Relaxed), since.elapsed());
        assert!(waited < Duration::from_secs(90), "only {count} see everybody after {waited:?}");
        assert!(followers.iter().all(|(_, _, task)| !task.is_finished()), "a follower has ended early");
        sleep(Duration::from_millis(100)).await;
    }
    followers[0].1.send(ROOM, json!("everybody is here")).await;
    let everybody: BTreeSet<String> = followers.iter().map(|(id, _, _)| id.clone()).collect();
    for (_, session, task) in followers {
        assert_eq!(task.await.unwrap(), everybody, "as {} sees it", session.username);
    }
}
