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

use crate::support::{Api, OVERLOAD_DEADLINE, RawStream, ServerProcess, Session};

const SESSIONS: usize = 1_000;
const ROOM: &str = "room:hall";
/// The time limit for every stream to send every presence. An idle machine needs a few seconds.
const COMPLETE_DEADLINE: Duration = Duration::from_secs(240);

/// Raises the limit of open files: a thousand connections at each end are more than many systems allow by default.
fn allow_many_files() {
    let allowed =
        Command::new("prlimit").args(["--nofile=8192:", "--pid"]).arg(std::process::id().to_string()).status();
    assert!(allowed.is_ok_and(|status| status.success()), "this test needs 8192 open files: ulimit -Hn");
}

/// Returns the session ids in a list of presences. It searches the text: to parse a megabyte of JSON for each of a
/// thousand readers takes too long.
fn session_ids(list: &str) -> impl Iterator<Item = &str> {
    list.split("\"session_id\":\"").skip(1).map(|rest| &rest[..36])
}

/// Opens a session, joins the room and opens the stream, up to its `ready`.
async fn enter(server: &Api, name: &str) -> (Session, RawStream) {
    let session = Session::of_device(server, name).await;
    session.join(ROOM).await;
    let mut stream = RawStream::open(&session, None, None).await;
    let first = stream.next(OVERLOAD_DEADLINE).await.expect("a stream begins with an event");
    assert_eq!(first.event, "ready");
    (session, stream)
}

/// Follows the presence of the room up to the first message, and returns the ids of the sessions that are present then.
/// Increments `complete` as soon as all sessions are.
async fn follow(session: Session, mut stream: RawStream, complete: Arc<AtomicUsize>) -> BTreeSet<String> {
    let mut present: BTreeSet<String> = BTreeSet::new();
    let mut counted = false;
    loop {
        let Some(frame) = stream.next(COMPLETE_DEADLINE).await else {
            panic!("{} was cut off with {} present", session.username, present.len());
        };
        match frame.event.as_str() {
            "presence_state" => present = session_ids(&frame.data).map(ToOwned::to_owned).collect(),
            "presence" => {
                assert!(!frame.data.contains("\"truncated\":true"), "--presence-list allows the whole set");
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

/// Returns the texts of the lists `joins` and `leaves`, whichever comes first.
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
        assert!(waited < COMPLETE_DEADLINE, "only {count} see everybody after {waited:?}");
        assert!(followers.iter().all(|(_, _, task)| !task.is_finished()), "a follower has ended early");
        sleep(Duration::from_millis(100)).await;
    }
    followers[0].1.send(ROOM, json!("everybody is here")).await;
    let everybody: BTreeSet<String> = followers.iter().map(|(id, _, _)| id.clone()).collect();
    for (_, session, task) in followers {
        assert_eq!(task.await.unwrap(), everybody, "as {} sees it", session.username);
    }
}
