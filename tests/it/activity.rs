//! Activity: a stream tells of direct messages that its session has not joined, at most once an interval each.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Event, EventStream, Session, TestApp, list, messages_of, number, text};

/// Several presence intervals of the tests' settings.
const A_WHILE: Duration = Duration::from_millis(500);

/// Opens a stream, up to its `ready`: later news come on it.
async fn open(session: &Session) -> EventStream {
    let mut stream = session.stream().await;
    stream.ready().await;
    stream
}

/// Joins the DM of the two and returns its id.
async fn join_dm(session: &Session, other: &Session) -> String {
    text(&session.join(&session.dm(other)).await["topic"], "id").to_owned()
}

/// Returns the first `activity` whose `last_seq` is at least `seq`. With two instances, one may still be sending news
/// of a message from just before the stream opened.
async fn activity_up_to(stream: &mut EventStream, seq: u64) -> Event {
    loop {
        let told = stream.next_of("activity").await;
        if number(&told.data, "last_seq") >= seq {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_that_was_not_joined_sends_activity() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let dm = join_dm(&ana, &bea).await;
    ana.send(&dm, json!("before")).await;
    let mut stream = open(&bea).await;
    let last_id = stream.last_id();
    ana.send(&dm, json!("hi")).await;
    let told = activity_up_to(&mut stream, 2).await;
    assert_eq!(told.data, json!({"topic": dm, "last_seq": 2}));
    assert_eq!(told.id, None, "nothing to come back to");
    assert_eq!(stream.last_id(), last_id);
    let (topics, _) = bea.inbox("").await;
    assert_eq!((&topics[0]["topic"], number(&topics[0], "last_seq")), (&told.data["topic"], 2));
    stream.expect_silence(A_WHILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_removals_are_something_new_as_well() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let dm = join_dm(&ana, &bea).await;
    let sent = ana.send(&dm, json!("hi")).await;
    let message = format!("{}/{}", messages_of(&dm), text(&sent, "id"));
    let mut stream = open(&bea).await;
    ana.patch(&message, &json!({"content": "hello"})).await.expect(200);
    assert_eq!(activity_up_to(&mut stream, 2).await.data, json!({"topic": dm, "last_seq": 2}));
    ana.delete(&message).await.expect(204);
    assert_eq!(stream.next_of("activity").await.data, json!({"topic": dm, "last_seq": 3}));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_joined_gets_the_messages_and_their_other_sessions_get_activity() {
    let app = TestApp::start().await;
    let (ana, laptop, bea, phone) =
        (app.session("ana").await, app.session("ana").await, app.session("bea").await, app.session("bea").await);
    let dm = join_dm(&ana, &bea).await;
    bea.join(&dm).await;
    let (mut to_ana, mut to_bea) = (open(&ana).await, open(&bea).await);
    let (mut to_laptop, mut to_phone) = (open(&laptop).await, open(&phone).await);
    let sent = ana.send(&dm, json!("hi")).await;
    for stream in [&mut to_laptop, &mut to_phone] {
        let told = stream.next_of("activity").await;
        assert_eq!(told.data, json!({"topic": dm, "last_seq": 1}));
        stream.expect_silence(A_WHILE).await;
    }
    for stream in [&mut to_ana, &mut to_bea] {
        assert_eq!(stream.messages(1).await, [sent.clone()], "and nothing beside it");
        stream.expect_none_of("activity", A_WHILE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_other_peoples_dms_tell_nothing() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let dm = join_dm(&ana, &bea).await;
    ana.join("room:lobby").await;
    let (mut to_bea, mut to_cleo) = (open(&bea).await, open(&cleo).await);
    ana.send("room:lobby", json!("to all")).await;
    // Ephemeral messages and typing are not news.
    ana.send_ephemeral(&dm, "passing").await;
    ana.call(reqwest::Method::POST, &format!("/v1/topics/{dm}/typing")).send().await.expect(204);
    to_bea.expect_silence(A_WHILE).await;
    ana.send(&dm, json!("to bea")).await;
    assert_eq!(to_bea.next().await.data, json!({"topic": dm, "last_seq": 1}));
    to_cleo.expect_silence(A_WHILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dm_sends_activity_at_most_once_an_interval_with_its_newest_entry() {
    let app = TestApp::with(&["--presence-interval", "2s"]).await;
    let mut attempts = 0;
    let (mut stream, dm, since) = loop {
        let (ana, bea, cleo) = (
            app.session(&format!("ana {attempts}")).await,
            app.session(&format!("bea {attempts}")).await,
            app.session(&format!("cleo {attempts}")).await,
        );
        let (dm, other) = (join_dm(&ana, &bea).await, join_dm(&cleo, &bea).await);
        let mut stream = open(&bea).await;
        ana.send(&dm, json!(1)).await;
        let first = stream.next_of("activity").await;
        let since = Instant::now();
        assert_eq!(first.data, json!({"topic": dm, "last_seq": 1}), "the first at once");
        ana.send_numbers(&dm, 2..=5).await;
        cleo.send(&other, json!("another")).await;
        // If the machine needed the interval for this, the attempt shows nothing: other users try again.
        if since.elapsed() < Duration::from_millis(1_500) {
            assert_eq!(
                stream.next_of("activity").await.data,
                json!({"topic": other, "last_seq": 1}),
                "each for itself"
            );
            break (stream, dm, since);
        }
        attempts += 1;
        assert!(attempts < 20, "five sends take {:?}", since.elapsed());
    };
    assert_eq!(stream.next_of("activity").await.data, json!({"topic": dm, "last_seq": 5}), "then the newest");
    assert!(since.elapsed() > Duration::from_millis(1_900), "when the interval is over: {:?}", since.elapsed());
    stream.expect_silence(Duration::from_millis(2_500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_gets_messages_from_then_on_and_who_leaves_gets_activity_again() {
    let app = TestApp::with(&["--presence-interval", "3s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let dm = join_dm(&ana, &bea).await;
    let mut stream = open(&bea).await;
    ana.send(&dm, json!(1)).await;
    assert_eq!(stream.next_of("activity").await.data["last_seq"], 1);
    ana.send(&dm, json!(2)).await;
    assert_eq!(bea.join(&dm).await["position"], 2, "what would have been told is known by that");
    ana.send(&dm, json!(3)).await;
    let others = stream.expect_none_of("activity", Duration::from_millis(3_500)).await;
    let messages: Vec<_> = others.iter().filter(|event| event.event == "message").collect();
    assert_eq!(messages.iter().map(|event| number(&event.data, "seq")).collect::<Vec<_>>(), [3]);
    bea.leave(&dm).await;
    stream.next_of("left").await;
    ana.send(&dm, json!(4)).await;
    assert_eq!(stream.next_of("activity").await.data, json!({"topic": dm, "last_seq": 4}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_gets_it_and_what_comes_between_polls_is_for_the_inbox() {
    let app = TestApp::start().await;
    // News that another instance takes between two polls may come with the second: so one instance for all calls.
    let (ana, bea) = (app.session("ana").await.over_one_connection(), app.session("bea").await.over_one_connection());
    let dm = join_dm(&ana, &bea).await;
    let poll = async |query: &str| {
        let answer = bea.poll(query).await.expect(200);
        (list(&answer, "events").clone(), text(&answer, "last_event_id").to_owned())
    };
    let (_, id) = poll("wait=0").await;
    // The service closes the first poll a little after its response: it must not be mistaken for the waiting one.
    bea.until_streaming(false).await;
    let query = format!("wait=20&last_event_id={id}");
    let sending = async {
        bea.until_streaming(true).await;
        ana.send(&dm, json!("hi")).await;
    };
    let ((events, id), ()) = join(poll(&query), sending).await;
    assert_eq!(Value::from(events), json!([{"event": "activity", "data": {"topic": dm, "last_seq": 1}}]));

    bea.until_streaming(false).await;
    ana.send(&dm, json!("in between")).await;
    let (events, _) = poll(&format!("wait=1&last_event_id={id}")).await;
    assert_eq!(events, Vec::<Value>::new());
    assert_eq!(number(&bea.inbox("").await.0[0], "unread"), 2);
}

/// While others write, a stream gets no activity twice in an interval, and none of an older entry than before.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_activity_is_that_of_the_newest_entry() {
    let app = TestApp::start().await;
    let (ana, phone, bea) = (app.session("ana").await, app.session("ana").await, app.session("bea").await);
    let dm = join_dm(&ana, &bea).await;
    phone.join(&dm).await;
    let mut stream = open(&bea).await;
    let writing = async {
        for number in 0..40 {
            join(ana.send(&dm, json!(number)), phone.send(&dm, json!(number))).await;
        }
    };
    let reading = async {
        let (mut last, mut times) = (0, 0);
        while last < 80 {
            let told = stream.next_of("activity").await;
            let seq = number(&told.data, "last_seq");
            assert!(seq > last, "{seq} after {last}");
            (last, times) = (seq, times + 1);
        }
        times
    };
    let since = Instant::now();
    let ((), times) = join(writing, reading).await;
    let most = since.elapsed().as_millis() / 100 + 2;
    assert!(times <= most, "{times} times in {:?}", since.elapsed());
}
