//! Edits and removals concurrent with others and with sends: the log has one order, and the messages' rows agree with
//! it.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Session, Tally, TestApp, number, path_of, seqs, text};

const ROOM: &str = "room:lobby";
const ROUNDS: u64 = 40;

/// Returns a room's log, and checks that each message has the content that its edits and removals, in order, give it.
async fn checked_log(session: &Session) -> Vec<Value> {
    let log = session.whole_log(ROOM).await;
    assert_eq!(seqs(&log), (1..=log.len() as u64).collect::<Vec<_>>());
    let mut changes: HashMap<u64, Vec<&Value>> = HashMap::new();
    for entry in log.iter().filter(|entry| entry["code"] != 0) {
        changes.entry(number(&entry["content"], "seq")).or_default().push(entry);
    }
    for message in log.iter().filter(|entry| entry["code"] == 0) {
        let changes = changes.remove(&number(message, "seq")).unwrap_or_default();
        assert!(changes.iter().all(|change| change["content"]["message_id"] == message["id"]), "{changes:?}");
        let (edits, removals): (Vec<&Value>, Vec<&Value>) = changes.iter().partition(|change| change["code"] == 6);
        if let Some(edit) = edits.last() {
            assert_eq!(message["edited_at"], edit["created_at"], "{message}");
            assert_eq!(message["content"], edit["content"]["content"], "{message}");
        }
        match removals.as_slice() {
            [] => assert_eq!(message.get("removed_at"), None, "{message}"),
            [removal] => {
                assert_eq!(message["removed_at"], removal["created_at"], "{message}");
                assert_eq!(message["content"], Value::Null);
                assert!(edits.iter().all(|edit| edit["content"]["content"].is_null()), "{edits:?}");
                assert_eq!(changes.last(), Some(removal), "nothing after a removal");
            }
            _ => panic!("removed more than once: {removals:?}"),
        }
    }
    assert!(changes.is_empty(), "changes of no message: {changes:?}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_edits_at_once_the_later_one_stands() {
    let app = TestApp::start().await;
    let (ana, phone) = (app.session("ana").await, app.session("ana").await);
    ana.join(ROOM).await;
    for round in 0..ROUNDS {
        let sent = ana.send(ROOM, json!(round)).await;
        let (one, two) = join(ana.edit(&sent, json!("one")), phone.edit(&sent, json!("two"))).await;
        assert_eq!((&one["content"], &two["content"]), (&json!("one"), &json!("two")), "each is shown its own");
    }
    assert_eq!(checked_log(&ana).await.len() as u64, ROUNDS * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_removal_is_acknowledged_no_edit_brings_the_content_back() {
    let app = TestApp::start().await;
    let (ana, phone) = (app.session("ana").await, app.session("ana").await);
    ana.join(ROOM).await;
    for round in 0..ROUNDS {
        let sent = ana.send(ROOM, json!("sent")).await;
        let editing = async {
            loop {
                let edited = phone.try_edit(&sent, json!("edited")).await;
                if edited.status != 200 {
                    return edited.refused(409);
                }
            }
        };
        let removing = async {
            tokio::time::sleep(Duration::from_micros(round * 150)).await;
            ana.remove(&sent).await;
            let left = ana.read(&sent).await;
            assert_eq!(left["content"], Value::Null, "{left}");
            left
        };
        let (refused, left) = join(editing, removing).await;
        assert_eq!(refused, "message_removed");
        assert_eq!(ana.read(&sent).await, left);
    }
    checked_log(&ana).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_of_one_message_at_once_are_one_entry() {
    let app = TestApp::start().await;
    let (ana, phone) = (app.session("ana").await, app.session("ana").await);
    ana.join(ROOM).await;
    for _ in 0..ROUNDS / 2 {
        let sent = ana.send(ROOM, json!("sent")).await;
        join_all([&ana, &phone, &ana, &phone, &ana, &phone].map(|session| session.remove(&sent))).await;
    }
    assert_eq!(checked_log(&ana).await.len() as u64, ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_edits_and_removals_at_once_are_one_dense_order_for_all() {
    let app = TestApp::start().await;
    let (ana, bea, reader) = (app.session("ana").await, app.session("bea").await, app.session("reader").await);
    for session in [&ana, &bea, &reader] {
        session.join(ROOM).await;
    }
    let mut stream = reader.stream().await;
    stream.ready().await;
    let (hers, theirs) = (ana.send(ROOM, json!("a")).await, bea.send(ROOM, json!("b")).await);
    let sending = join_all((0..ROUNDS).map(|round| bea.send(ROOM, json!(round))));
    let editing = async {
        for round in 0..ROUNDS {
            join(ana.edit(&hers, json!(round)), bea.edit(&theirs, json!(round))).await;
        }
    };
    let removing = async {
        for round in 0..ROUNDS {
            let sent = ana.send(ROOM, json!(round)).await;
            ana.remove(&sent).await;
        }
    };
    join3(sending, editing, removing).await;
    ana.remove(&hers).await;
    let log = checked_log(&ana).await;
    assert_eq!(log.len() as u64, 2 + ROUNDS * 5 + 1);

    let mut tally = Tally::default();
    tally.starts(ROOM, 0);
    let seen = stream.messages(log.len()).await;
    for (entry, stored) in seen.iter().zip(&log) {
        tally.message(ROOM, number(entry, "seq"));
        assert_eq!((&entry["id"], &entry["code"]), (&stored["id"], &stored["code"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_after_a_sign_out_is_acknowledged() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    for _ in 0..ROUNDS / 4 {
        let sent = ana.send(ROOM, json!("sent")).await;
        let phone = app.session("ana").await;
        let changing = async {
            loop {
                let edited = phone.try_edit(&sent, json!("edited")).await;
                if edited.status != 200 {
                    return edited.refused(401);
                }
            }
        };
        let leaving = async {
            let before = ana.last_seq(ROOM).await;
            while ana.last_seq(ROOM).await < before + 3 {}
            phone.sign_out().await;
            ana.last_seq(ROOM).await
        };
        let (_, end) = join(changing, leaving).await;
        assert_eq!(ana.last_seq(ROOM).await, end);
    }
    checked_log(&ana).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_hangs_up_changes_nothing_about_what_was_committed() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let sent = ana.send(ROOM, json!("sent")).await;
    for round in 0..ROUNDS {
        let edit = ana.call(Method::PATCH, &path_of(&sent)).json(&json!({"content": round})).try_send();
        // The service runs a write that has started to its end.
        let _ = tokio::time::timeout(Duration::from_micros(round * 100), edit).await;
    }
    ana.remove(&sent).await;
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|last: &Value| last["code"] == 7) {
        seen.extend(stream.messages(1).await);
    }
    let log = checked_log(&ana).await;
    assert_eq!(text(seen.last().unwrap(), "id"), text(log.last().unwrap(), "id"), "what is told is what is stored");
    assert_eq!(seqs(&seen), seqs(&log));
}
