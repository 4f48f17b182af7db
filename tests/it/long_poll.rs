//! The stream as a long poll: the same events as JSON, for clients and platforms that cannot stream.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, DEADLINE, Route, Session, Tally, TestApp, list, members, number, seqs, text};

/// Makes one poll. Returns its events and its `last_event_id`.
async fn poll(session: &Session, query: &str) -> (Vec<Value>, String) {
    let reply = session.poll(query).await;
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["events", "last_event_id"]);
    for event in list(&answer, "events") {
        assert!(event["data"].is_object(), "data is JSON, not text: {event}");
        assert!(event.get("id").is_none_or(Value::is_string), "{event}");
    }
    let cache_control = reply.header("cache-control");
    assert!(cache_control.contains("no-cache") || cache_control.contains("no-store"), "{cache_control}");
    (list(&answer, "events").clone(), text(&answer, "last_event_id").to_owned())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(event, "event")).collect()
}

fn messages(events: &[Value]) -> Vec<Value> {
    events.iter().filter(|event| event["event"] == "message").map(|event| event["data"].clone()).collect()
}

/// Polls until one poll of a second returns no event. Returns its id.
async fn quiet(session: &Session, mut id: String) -> String {
    loop {
        let (events, next) = poll(session, &format!("wait=1&last_event_id={id}")).await;
        id = next;
        if events.is_empty() {
            return id;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_poll_answers_at_once_with_ready_and_the_presence_states() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
    }
    let since = Instant::now();
    let (events, _) = poll(&ana, "wait=30").await;
    assert!(since.elapsed() < DEADLINE, "at once: {:?}", since.elapsed());
    assert_eq!(kinds(&events), ["ready", "presence_state", "presence_state"]);
    assert_eq!(events[0]["data"]["session_id"], *ana.id);
    assert!(events[0]["id"].is_string());
    assert_eq!(events[1]["data"]["presence_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_poll_brings_what_was_missed() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=3).await;
    let (events, mut id) = poll(&ana, "wait=0").await;
    assert_eq!(events[0]["event"], "ready");
    let mut seen = messages(&events);
    while seen.len() < 3 {
        let (events, next) = poll(&ana, &format!("wait=5&last_event_id={id}")).await;
        seen.extend(messages(&events));
        id = next;
    }
    assert_eq!(seqs(&seen), [1, 2, 3]);
    assert_eq!(seen, ana.whole_history("room:lobby").await, "the same objects as everywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_with_an_id_continues_without_ready() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut id = poll(&ana, "wait=0").await.1;
    for seq in 1..=5 {
        ana.send("room:lobby", json!(seq)).await;
        let (events, next) = poll(&ana, &format!("wait=10&last_event_id={id}")).await;
        assert_eq!(kinds(&events), ["message"], "{events:?}");
        assert_eq!(events[0]["data"]["seq"], seq);
        id = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_waits_for_what_comes_and_no_longer() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let (_, id) = poll(&ana, "wait=0").await;
    let id = quiet(&ana, id).await;

    let since = Instant::now();
    let (events, id) = poll(&ana, &format!("wait=1&last_event_id={id}")).await;
    assert_eq!(events, Vec::<Value>::new());
    assert!(since.elapsed() > Duration::from_millis(900), "it waits as long as asked: {:?}", since.elapsed());

    let since = Instant::now();
    let query = format!("wait=30&last_event_id={id}");
    let waiting = poll(&ana, &query);
    let sending = async {
        sleep(Duration::from_millis(300)).await;
        bea.send("room:lobby", json!("wake up")).await;
    };
    let ((events, _), ()) = join(waiting, sending).await;
    assert_eq!(messages(&events)[0]["content"], "wake up");
    assert!(since.elapsed() < DEADLINE, "a message ends the wait: {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_comes_again_only_when_it_has_changed() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    let (_, id) = poll(&ana, "wait=0").await;
    let (events, id) = poll(&ana, &format!("wait=1&last_event_id={id}")).await;
    assert_eq!(events, Vec::<Value>::new(), "nothing has changed");
    bea.join("room:lobby").await;
    let (events, id) = poll(&ana, &format!("wait=10&last_event_id={id}")).await;
    assert_eq!(kinds(&events), ["presence_state"]);
    assert_eq!(events[0]["data"]["presence_count"], 2);
    let id = quiet(&ana, id).await;
    bea.leave("room:lobby").await;
    let (events, _) = poll(&ana, &format!("wait=10&last_event_id={id}")).await;
    assert_eq!(events[0]["data"]["presence_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_is_present_between_polls() {
    let app = TestApp::with(&["--presence-grace", "6s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let mut watch = bea.stream().await;
    watch.ready().await;
    watch.next_of("presence_state").await;
    let (_, mut id) = poll(&ana, "wait=0").await;
    // In total longer than the grace period; each pause is far shorter than half of it.
    for _ in 0..14 {
        id = poll(&ana, &format!("wait=0&last_event_id={id}")).await.1;
        watch.expect_silence(Duration::from_millis(500)).await;
    }
    let gone = watch.next_of("presence").await;
    assert_eq!(gone.data["leaves"][0]["session_id"], *ana.id, "and gone when the polls end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_counts_as_the_sessions_stream() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let (_, id) = poll(&ana, "wait=0").await;
    stream.bye("replaced").await;
    ana.send_numbers("room:lobby", 1..=2).await;
    let mut stream = ana.stream_from(&id).await;
    stream.ready().await;
    assert_eq!(seqs(&stream.messages(2).await), [1, 2], "a poll's id is good for a stream");
    let (events, _) = poll(&ana, &format!("wait=5&last_event_id={}", stream.last_id())).await;
    assert!(messages(&events).is_empty(), "and a stream's for a poll: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_lose_and_double_nothing() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let rooms = ["room:a", "room:b", "room:c"];
    let mut tally = Tally::default();
    for room in rooms {
        ana.join(room).await;
        bea.join(room).await;
        tally.starts(room, 0);
    }
    let writing = async {
        for number in 0..150_usize {
            bea.send(rooms[number % 3], json!(number)).await;
        }
    };
    let reading = async {
        let (mut events, mut id) = poll(&ana, "wait=0").await;
        for _ in 0..2_000 {
            for message in messages(&events) {
                tally.message(text(&message, "topic"), number(&message, "seq"));
            }
            if tally.total() == 150 {
                return;
            }
            (events, id) = poll(&ana, &format!("wait=2&last_event_id={id}")).await;
        }
        panic!("the polls do not come to an end: {tally:?}");
    };
    join(writing, reading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_and_endings_come_in_polls_as_well() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let (_, id) = poll(&ana, "wait=0").await;
    ana.leave("room:lobby").await;
    let (events, id) = poll(&ana, &format!("wait=10&last_event_id={id}")).await;
    assert!(kinds(&events).contains(&"left"), "{events:?}");
    let url = format!("{}&wait=1&last_event_id={id}", ana.events_url);
    ana.sign_out().await;
    app.get(&url).header("accept", "application/json").send().await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_ends_with_its_session_and_with_a_newer_stream() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let (_, id) = poll(&ana, "wait=0").await;
    let query = format!("wait=30&last_event_id={}", quiet(&ana, id).await);

    // The service closes an earlier poll a little after its response: it must not be mistaken for the waiting one.
    ana.until_streaming(false).await;
    let asked = Instant::now();
    let (replaced, mut stream) = join(ana.poll(&query), async {
        ana.until_streaming(true).await;
        ana.stream().await
    })
    .await;
    assert!([200, 204].contains(&replaced.status), "{replaced:?}");
    assert!(asked.elapsed() < DEADLINE, "it does not wait to its end: {:?}", asked.elapsed());
    stream.ready().await;
    drop(stream);

    let query = format!("wait=30&last_event_id={}", quiet(&ana, String::new()).await);
    ana.until_streaming(false).await;
    let asked = Instant::now();
    let (ended, ()) = join(ana.poll(&query), async {
        ana.until_streaming(true).await;
        ana.sign_out().await;
    })
    .await;
    assert!([200, 204].contains(&ended.status), "{ended:?}");
    assert!(asked.elapsed() < DEADLINE, "it does not wait to its end: {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_waits_0_to_30_seconds() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for wait in ["31", "-1", "x", "1.5", "99999999999"] {
        let reply = ana.poll(&format!("wait={wait}")).await;
        assert_eq!(reply.status, 422, "wait={wait}: {reply:?}");
    }
    ana.poll("wait=0").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_with_an_id_that_cannot_be_read_starts_anew() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let (events, _) = poll(&ana, "wait=0&last_event_id=garbage").await;
    assert_eq!(events[0]["event"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_answers_with_all_that_was_acknowledged_before_whatever_the_instances_tell_each_other() {
    let Some(cluster) = Cluster::start(Route::Local, &[]).await else { return };
    let (ana, bob) = (cluster.one.session("Ana").await, cluster.two.session("Bob").await);
    for session in [&ana, &bob] {
        session.join("room:lobby").await;
    }
    let (_, mut id) = poll(&bob, "").await;
    for number in 0..5 {
        let sent = ana.send("room:lobby", json!(number)).await;
        let (events, next) = poll(&bob, &format!("wait=0&last_event_id={id}")).await;
        assert_eq!(messages(&events), [sent]);
        id = next;
    }
}
