//! The inbox: the direct message topics with messages, latest first. `group_inbox.rs` tests its groups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Session, TestApp, members, messages_of, number, text};

/// Returns the ids of the topics of an inbox that fits on one page.
async fn listed(session: &Session) -> Vec<String> {
    let (topics, next) = session.inbox("limit=100").await;
    assert_eq!(next, None);
    topics.iter().map(|topic| text(topic, "topic").to_owned()).collect()
}

/// Joins the DM of two users and sends a message there. Returns the message.
async fn write(from: &Session, to: &Session, content: Value) -> Value {
    from.join(&from.dm(to)).await;
    from.send(&from.dm(to), content).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_is_listed_for_both_of_its_users() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let sent = write(&ana, &bea, json!({"text": "hi"})).await;
    let topic = text(&sent, "topic");
    let listed = |user: &Session, read: u64, unread: u64| {
        json!([{"topic": topic, "type": "dm", "user": user.user(), "last_seq": 1, "last_message": sent,
                "read_seq": read, "unread": unread}])
    };
    assert_eq!(Value::from(ana.inbox("").await.0), listed(&bea, 1, 0));
    assert_eq!(Value::from(bea.inbox("").await.0), listed(&ana, 0, 1), "without having joined");
    assert_eq!(cleo.inbox("").await, (Vec::new(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_user_is_called_as_they_are_called_now() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    write(&ana, &bea, json!("hi")).await;
    ana.patch("/v1/me", &json!({"username": "Ana of Lindos"})).await.expect(200);
    let (topics, _) = bea.inbox("").await;
    assert_eq!(topics[0]["user"], json!({"user_id": ana.user_id, "username": "Ana of Lindos"}));
    assert_eq!(topics[0]["last_message"]["sender"], ana.user(), "messages keep the name they were sent under");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_without_messages_is_not_listed_and_a_room_never() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for topic in ["room:lobby", &ana.dm(&bea), &ana.dm(&cleo)] {
        ana.join(topic).await;
        ana.send_ephemeral(topic, "not stored").await;
    }
    ana.send("room:lobby", json!("to all")).await;
    ana.mark_read("room:lobby", 1).await;
    assert_eq!(listed(&ana).await, Vec::<String>::new());
    let sent = ana.send(&ana.dm(&cleo), json!("hi")).await;
    assert_eq!(listed(&ana).await, [text(&sent, "topic")]);
    ana.leave(&ana.dm(&cleo)).await;
    assert_eq!(listed(&ana).await, [text(&sent, "topic")], "joined or not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_comes_first_and_shows_its_newest_message() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let others = app.sessions("other", 3).await;
    let mut topics = Vec::new();
    for other in &others {
        topics.push(text(&write(other, &ana, json!("first")).await, "topic").to_owned());
        until_later().await;
    }
    assert_eq!(listed(&ana).await, [&*topics[2], &topics[1], &topics[0]]);
    let sent = others[0].send(&others[0].dm(&ana), json!("second")).await;
    assert_eq!(listed(&ana).await, [&*topics[0], &topics[2], &topics[1]]);
    let (page, _) = ana.inbox("limit=1").await;
    assert_eq!((&page[0]["last_message"], number(&page[0], "last_seq")), (&sent, 2));
    // Reading does not change the order.
    ana.mark_read(&topics[1], 1).await;
    assert_eq!(listed(&ana).await, [&*topics[0], &topics[2], &topics[1]]);
}

/// Waits for the next millisecond: times are stored in milliseconds, and a later message needs a later time.
async fn until_later() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_the_entries_after_the_mark_on_all_devices() {
    let app = TestApp::start().await;
    let (ana, bea, phone) = (app.session("ana").await, app.session("bea").await, app.session("bea").await);
    let counts = async |session: &Session| {
        let (topics, _) = session.inbox("").await;
        let count = |name| number(&topics[0], name);
        (count("last_seq"), count("read_seq"), count("unread"))
    };
    write(&ana, &bea, json!(1)).await;
    ana.send_numbers(&ana.dm(&bea), 2..=5).await;
    assert_eq!(counts(&ana).await, (5, 5, 0));
    assert_eq!(counts(&bea).await, (5, 0, 5));
    bea.mark_read(&bea.dm(&ana), 3).await;
    assert_eq!((counts(&bea).await, counts(&phone).await), ((5, 3, 2), (5, 3, 2)));
    write(&phone, &ana, json!("an answer")).await;
    assert_eq!((counts(&bea).await, counts(&ana).await), ((6, 6, 0), (6, 5, 1)));
}

/// 120 DMs are read in pages of 10. Meanwhile topics that have been listed move up again, and topics that have not been
/// listed yet move up past the present page.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_120_dms_neither_repeat_nor_skip_what_does_not_move() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let others = app.sessions("other", 120).await;
    let mut topics = Vec::new();
    for other in &others {
        topics.push(text(&write(other, &ana, json!("hi")).await, "topic").to_owned());
    }
    topics.reverse();
    let again = async |topic: &str| {
        let other = others.iter().find(|other| topic.contains(&other.user_id)).unwrap();
        other.send(&other.dm(&ana), json!("again")).await;
    };
    // The other users write to each other meanwhile, which must not change Ana's inbox.
    write(&others[0], &others[1], json!("aside")).await;

    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    let mut moved = BTreeSet::new();
    loop {
        let query = cursor.map_or("limit=10".to_owned(), |cursor| format!("limit=10&cursor={cursor}"));
        let (page, next) = ana.inbox(&query).await;
        assert!(page.len() == 10 || next.is_none(), "{} on a page, and more to come", page.len());
        pages += 1;
        assert!(pages < 100, "the pages do not come to an end: {seen:?}");
        seen.extend(page.iter().map(|topic| text(topic, "topic").to_owned()));
        let Some(next) = next else { break };
        cursor = Some(next);
        again(seen.last().unwrap()).await;
        if let Some(unseen) = topics.iter().rev().find(|topic| !seen.contains(topic) && !moved.contains(*topic)) {
            again(unseen).await;
            moved.insert(unseen.clone());
        }
    }
    assert!(pages > 10 && !moved.is_empty());
    let unmoved: Vec<_> = topics.iter().filter(|topic| !moved.contains(*topic)).collect();
    let came: Vec<_> = seen.iter().filter(|topic| !moved.contains(*topic)).collect();
    assert_eq!(came, unmoved, "each once, in order");
    assert!(seen.iter().all(|topic| !moved.contains(topic)), "what has moved up is on the first pages of a new look");
    let (first, _) = ana.inbox("limit=100").await;
    let first: BTreeSet<_> = first.iter().map(|topic| text(topic, "topic").to_owned()).collect();
    assert!(moved.is_subset(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_ones_own_inbox_only() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for (one, other) in [(&ana, &bea), (&ana, &cleo), (&bea, &cleo)] {
        write(one, other, json!("hi")).await;
    }
    let (page, cursor) = ana.inbox("limit=1").await;
    let cursor = cursor.unwrap();
    let (rest, end) = ana.inbox(&format!("limit=1&cursor={cursor}")).await;
    assert_eq!((page.len(), rest.len(), end), (1, 1, None));
    assert_ne!(page[0]["topic"], rest[0]["topic"]);
    let refused = async |query: &str, status| ana.get(&format!("/v1/me/topics?{query}")).await.refused(status);
    for garbage in ["garbage", "", "AAAA", &cursor[..cursor.len() - 4], &"A".repeat(3_000)] {
        assert_eq!(refused(&format!("cursor={garbage}"), 400).await, "bad_cursor", "{garbage}");
    }
    assert_eq!(bea.get(&format!("/v1/me/topics?cursor={cursor}")).await.refused(400), "bad_cursor");
    for wrong in ["limit=0", "limit=101", "limit=x", "page=2"] {
        assert_eq!(refused(wrong, 422).await, "invalid", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dm_whose_messages_were_pruned_is_listed_without_a_last_one() {
    let app = TestApp::with(&["--history-ttl", "1s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let sent = write(&ana, &bea, json!("hi")).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let topic = loop {
        let (topics, _) = bea.inbox("").await;
        if topics[0]["last_message"] != sent {
            break topics[0].clone();
        }
        assert!(Instant::now() < deadline, "nothing is pruned");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(members(&topic), ["last_message", "last_seq", "read_seq", "topic", "type", "unread", "user"]);
    assert_eq!(topic["last_message"], Value::Null);
    assert_eq!((number(&topic, "last_seq"), number(&topic, "unread")), (1, 1), "the numbers stay");
    assert!(ana.get(&messages_of(&ana.dm(&bea))).await.expect(200)["messages"].as_array().unwrap().is_empty());
}
