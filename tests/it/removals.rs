//! Removals: who may remove a message, and that its content is gone everywhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{DEADLINE, RawStream, Session, Tally, TestApp, members, messages_of, number, path_of, seqs, text};

const ROOM: &str = "room:lobby";
/// The removed text, which must not be found anywhere.
const SECRET: &str = "the secret of this test";

async fn app_and_session() -> (TestApp, Session) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    (app, ana)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_leaves_a_message_without_content_and_is_an_entry_of_its_own() {
    let (mut app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!(SECRET)).await;
    ana.remove(&sent).await;
    let left = ana.read(&sent).await;
    assert_eq!(members(&left), ["code", "content", "created_at", "id", "removed_at", "sender", "seq", "topic"]);
    for same in ["id", "topic", "seq", "code", "sender", "created_at"] {
        assert_eq!(left[same], sent[same], "{same}");
    }
    assert_eq!(left["content"], Value::Null);
    assert_eq!(ana.whole_history(ROOM).await, [left.clone()], "it keeps its place in history");

    let log = ana.whole_log(ROOM).await;
    assert_eq!((log.len(), &log[0]), (2, &left));
    let entry = &log[1];
    assert_eq!(members(entry), members(&sent), "an entry as any other");
    assert_eq!((&entry["seq"], &entry["code"], &entry["sender"]), (&json!(2), &json!(7), &ana.user()));
    assert_eq!(entry["content"], json!({"message_id": sent["id"], "seq": 1}));
    assert_eq!(entry["created_at"], left["removed_at"]);
    assert_eq!(ana.read(entry).await, *entry, "it can be read by its own id");
    app.restart().await;
    assert_eq!(ana.whole_log(ROOM).await, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_twice_is_204_and_appends_nothing() {
    let (app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!(SECRET)).await;
    ana.remove(&sent).await;
    let log = ana.whole_log(ROOM).await;
    let mut stream = ana.stream_with("from=now").await;
    stream.ready().await;
    for session in [&ana, &app.session("ana").await] {
        session.remove(&sent).await;
    }
    assert_eq!(ana.whole_log(ROOM).await, log);
    stream.expect_none_of("message", Duration::from_millis(200)).await;
    assert_eq!(ana.send(ROOM, json!("next")).await["seq"], 3);
    assert_eq!(seqs(&stream.messages(1).await), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_removed_cannot_be_edited() {
    let (_app, ana) = app_and_session().await;
    let sent = ana.send(ROOM, json!(SECRET)).await;
    ana.edit(&sent, json!("before")).await;
    ana.remove(&sent).await;
    let log = ana.whole_log(ROOM).await;
    assert_eq!(ana.try_edit(&sent, json!("after")).await.refused(409), "message_removed");
    assert_eq!(ana.whole_log(ROOM).await, log);
    assert_eq!(members(&log[0]).len(), 9, "edited_at stays beside removed_at: {}", log[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_groups_only_its_author_removes_a_message() {
    let (app, ana) = app_and_session().await;
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    let dm = bea.join(&format!("dm:{}", ana.user_id)).await["topic"]["id"].as_str().unwrap().to_owned();
    ana.join(&dm).await;
    for topic in [ROOM, &dm] {
        let (hers, theirs) = (ana.send(topic, json!("a")).await, bea.send(topic, json!("b")).await);
        let refused = bea.try_remove(&hers).await;
        assert_eq!(refused.refused(403), "forbidden");
        assert_eq!(refused.json()["detail"], "Only its author, or an admin of the group, can remove a message.");
        assert_eq!(ana.last_seq(topic).await, 2, "what is refused changes nothing");
        ana.leave(topic).await;
        ana.remove(&hers).await;
        bea.remove(&theirs).await;
        assert_eq!(bea.try_remove(&hers).await.refused(403), "forbidden", "removed or not");
        assert_eq!(ana.last_seq(topic).await, 4);
    }
}

/// Returns all that the service shows of a room to a session, as text.
async fn all_that_is_shown(session: &Session, id: &str) -> String {
    let mut shown = String::new();
    for query in ["", "changes=true", "direction=forward", "direction=forward&changes=true"] {
        shown.push_str(session.get(&format!("{}?limit=100&{query}", messages_of(ROOM))).await.text());
    }
    for entry in session.whole_log(ROOM).await {
        shown.push_str(session.get(&path_of(&entry)).await.text());
    }
    let last = session.last_seq(ROOM).await;
    let mut stream = session.stream_from(id).await;
    loop {
        let event = stream.next_of("message").await;
        shown.push_str(&event.text);
        if event.data["seq"] == last {
            break;
        }
    }
    drop(stream);
    shown.push_str(session.poll(&format!("last_event_id={id}")).await.text());
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_shown_nowhere_any_more() {
    let (mut app, ana) = app_and_session().await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let id = stream.cut();
    let body = json!({"content": format!("{SECRET}, as it was sent")});
    let sent = ana.send_with(ROOM, &body, "key").await.expect(201);
    let other = ana.send(ROOM, json!("another one")).await;
    for round in 1..=3 {
        ana.edit(&sent, json!({"text": [format!("{SECRET}, edit {round}")]})).await;
        ana.edit(&other, json!(format!("other edit {round}"))).await;
    }
    assert!(all_that_is_shown(&ana, &id).await.contains(SECRET), "or this test shows nothing");
    ana.remove(&sent).await;

    for _ in 0..2 {
        let shown = all_that_is_shown(&ana, &id).await;
        assert!(!shown.contains(SECRET), "{shown}");
        for kept in ["other edit 1", "other edit 2", "other edit 3"] {
            assert!(shown.contains(kept), "what is not removed stays: {shown}");
        }
        let repeated = ana.send_with(ROOM, &body, "key").await.expect(200);
        assert_eq!(repeated, ana.read(&sent).await, "a repeated key answers with what is left");
        assert_eq!((&repeated["content"], repeated.get("removed_at").is_some()), (&Value::Null, true));
        let another = ana.send_with(ROOM, &json!({"content": "another body"}), "key").await;
        assert_eq!(another.refused(422), "idempotency_key_reused");
        app.restart().await;
    }
    let log = ana.whole_log(ROOM).await;
    let emptied = json!({"message_id": sent["id"], "seq": 1, "content": null});
    assert_eq!([&log[2], &log[4], &log[6]].map(|edit| &edit["content"]), [&emptied; 3]);
    assert!(log.iter().all(|entry| entry["code"] == 0 || entry.get("removed_at").is_none()), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_not_left_in_sqlites_file() {
    let (mut app, ana) = app_and_session().await;
    let url = app.database_url();
    let Some(file) = url.strip_prefix("sqlite://").and_then(|rest| rest.split('?').next()) else { return };
    let holds = |text: &str| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    // One that fits into its row, and one that needs overflow pages.
    let contents = [SECRET.to_owned(), format!("{SECRET}{}", "x".repeat(10_000))];
    let mut sent = Vec::new();
    for content in &contents {
        let message = ana.send(ROOM, json!(content)).await;
        sent.push(ana.edit(&message, json!(format!("edited: {content}"))).await);
    }
    ana.send(ROOM, json!("this stays")).await;
    app.stop().await; // the write-ahead log is now in the file
    assert!(holds(SECRET) && holds("this stays"), "or this test shows nothing");
    app.start_again().await;
    for message in &sent {
        ana.remove(message).await;
    }
    app.stop().await;
    assert!(holds("this stays"));
    assert!(!holds(SECRET), "it is overwritten");
}

/// Sends more than all buffers between a stream and its reader hold.
async fn send_long(sender: &Session, count: usize) -> Vec<Value> {
    let mut sent = Vec::new();
    for number in 1..=count {
        sent.push(sender.send(ROOM, json!(format!("{number} {}", "x".repeat(15_000)))).await);
    }
    sent
}

/// Reads the rest of a stream that was not read for a while, and finds the removed messages without content.
async fn read_on(mut stream: RawStream, mut tally: Tally, last: u64, removed: &[u64]) {
    let mut found = Vec::new();
    while tally.position(ROOM) < last {
        let frame = stream.next(DEADLINE).await.expect("the stream stands");
        if frame.event != "message" {
            continue;
        }
        let message: Value = serde_json::from_str(&frame.data).unwrap();
        let seq = number(&message, "seq");
        tally.message(ROOM, seq);
        if message["content"].is_null() {
            found.push(seq);
        }
    }
    assert_eq!(found, removed, "and every other one as it was sent");
}

/// Opens a stream and reads up to its first message only.
async fn stalled(session: &Session) -> (RawStream, Tally) {
    let mut stream = RawStream::open(session, Some(16 * 1024), None).await;
    let mut tally = Tally::default();
    tally.starts(ROOM, 0);
    loop {
        let frame = stream.next(DEADLINE).await.expect("the stream stands");
        if frame.event == "message" {
            tally.message(ROOM, 1);
            return (stream, tally);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lags_finds_what_was_removed_without_content_though_memory_held_it() {
    let (app, ana) = app_and_session().await;
    let lagging = app.session("lagging").await;
    lagging.join(ROOM).await;
    let mut live = ana.stream().await;
    live.ready().await;
    let first = ana.send(ROOM, json!("first")).await;
    let (stream, tally) = stalled(&lagging).await;
    let sent = send_long(&ana, 90).await; // the topic's tail holds the newest of them
    live.messages(91).await;
    for message in [&sent[78], &sent[85], &sent[88]] {
        ana.remove(message).await;
    }
    ana.send(ROOM, json!("last")).await;
    assert_eq!(first["seq"], 1);
    read_on(stream, tally, 95, &[80, 87, 90]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_catches_up_finds_what_was_removed_without_content_though_its_page_had_been_read() {
    let (app, ana) = app_and_session().await;
    let lagging = app.session("lagging").await;
    lagging.join(ROOM).await;
    let sent = send_long(&ana, 90).await;
    let (stream, tally) = stalled(&lagging).await; // in the middle of a page
    for message in [&sent[39], &sent[49], &sent[62], &sent[88]] {
        ana.remove(message).await;
    }
    read_on(stream, tally, 94, &[40, 50, 63, 89]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_opens_after_a_removal_never_shows_what_was_removed() {
    const MESSAGES: usize = 150;
    let (app, ana) = app_and_session().await;
    let readers = app.sessions("reader", 3).await;
    for reader in &readers {
        reader.join(ROOM).await;
    }
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        sent.push(ana.send(ROOM, json!(number)).await);
    }
    let removed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let reading = readers.into_iter().map(|reader| {
        let removed = removed.clone();
        tokio::spawn(async move {
            let id = start_of(&reader).await;
            loop {
                // A stream that opens from here on shows this many of the first messages without content.
                let gone = removed.load(std::sync::atomic::Ordering::SeqCst);
                let mut stream = reader.stream_from(&id).await;
                for event in stream.message_events(MESSAGES).await {
                    let seq = usize::try_from(number(&event.data, "seq")).unwrap();
                    assert!(seq > gone || event.data["content"].is_null(), "{gone} are gone: {event:?}");
                }
                if gone == MESSAGES {
                    return;
                }
            }
        })
    });
    let reading: Vec<_> = reading.collect();
    for message in &sent {
        ana.remove(message).await;
        removed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
    for reader in reading {
        reader.await.unwrap();
    }
}

/// Returns the id of a session's `ready`.
async fn start_of(session: &Session) -> String {
    let mut stream = session.stream().await;
    stream.ready().await;
    stream.cut()
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_carry_edits_and_removals_in_their_order() {
    let (app, ana) = app_and_session().await;
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    let (mut own, mut other) = (ana.stream().await, bea.stream().await);
    own.ready().await;
    other.ready().await;
    let (one, two) = (ana.send(ROOM, json!("one")).await, bea.send(ROOM, json!("two")).await);
    ana.edit(&one, json!("One")).await;
    bea.remove(&two).await;
    ana.send(ROOM, json!("three")).await;
    ana.remove(&one).await;
    for stream in [&mut own, &mut other] {
        let events = stream.message_events(6).await;
        assert!(events.iter().all(|event| event.id.is_some()));
        let entries: Vec<Value> = events.into_iter().map(|event| event.data).collect();
        assert_eq!(seqs(&entries), [1, 2, 3, 4, 5, 6]);
        let codes: Vec<_> = entries.iter().map(|entry| number(entry, "code")).collect();
        assert_eq!(codes, [0, 0, 6, 7, 0, 7]);
        assert_eq!(entries[2]["content"], json!({"message_id": one["id"], "seq": 1, "content": "One"}));
        assert_eq!(entries[3]["content"], json!({"message_id": two["id"], "seq": 2}));
        assert_eq!(entries[5]["content"], json!({"message_id": one["id"], "seq": 1}));
        assert_eq!(entries[5], bea.read(&entries[5]).await, "the same object as everywhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_learns_of_edits_and_removals_by_id_or_by_poll() {
    let (app, ana) = app_and_session().await;
    let bea = app.session("bea").await;
    bea.join(ROOM).await;
    let mut stream = bea.stream().await;
    stream.ready().await;
    let (one, two) = (ana.send(ROOM, json!("one")).await, ana.send(ROOM, json!("two")).await);
    stream.messages(2).await;
    let id = stream.cut();
    ana.edit(&one, json!("One")).await;
    ana.remove(&two).await;
    let mut stream = bea.stream_from(&id).await;
    stream.ready().await;
    let missed = stream.messages(2).await;
    assert_eq!((&missed[0]["code"], &missed[0]["content"]["content"]), (&json!(6), &json!("One")));
    assert_eq!((&missed[1]["code"], &missed[1]["content"]["message_id"]), (&json!(7), &two["id"]));
    let id = stream.cut();

    ana.remove(&one).await;
    let waiting = bea.poll(&format!("wait=10&last_event_id={id}")).await.expect(200);
    let mut events = waiting["events"].as_array().unwrap().iter();
    let event = events.find(|event| event["event"] == "message").unwrap_or_else(|| panic!("no removal: {waiting}"));
    assert_eq!((&event["data"]["seq"], &event["data"]["code"]), (&json!(5), &json!(7)));
    assert_eq!(text(&event["data"]["content"], "message_id"), text(&one, "id"));
    let mut stream = bea.stream_from(text(&waiting, "last_event_id")).await;
    stream.ready().await;
    stream.expect_none_of("message", Duration::from_millis(200)).await;
}
