//! Crowded topics: more sessions are present than a list may hold. Lists hold the first, differences only the count.

use serde_json::{Value, json};

use crate::support::{EventStream, PresenceView, Session, TestApp, encode, list, text};

const ROOM: &str = "room:lobby";

async fn crowd(count: usize) -> (TestApp, Vec<Session>) {
    let app = TestApp::with(&["--presence-list", "3"]).await;
    let sessions = app.sessions("guest", count).await;
    for session in &sessions {
        session.join(ROOM).await;
    }
    (app, sessions)
}

/// Reads until `presence_count` has this value. Returns that event's kind and data.
async fn until_count(stream: &mut EventStream, count: u64) -> (String, Value) {
    loop {
        let event = stream.next().await;
        if event.event.starts_with("presence") && event.data["presence_count"] == count {
            return (event.event, event.data);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_topics_state_holds_the_first_and_the_count() {
    let (_app, sessions) = crowd(5).await;
    let mut stream = sessions[0].stream().await;
    let state = stream.next_of("presence_state").await.data;
    assert_eq!(state["presence_count"], 5);
    assert_eq!(state["truncated"], true);
    assert_eq!(list(&state, "presences").len(), 3);
    let joined = sessions[4].join(ROOM).await;
    assert_eq!(joined["truncated"], true);
    assert_eq!(joined["presence_count"], 5);
    assert_eq!(list(&joined, "presences").len(), 3);
    assert_eq!(sessions[0].topic(ROOM).await["presence_count"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_topics_differences_are_only_the_count() {
    let (app, sessions) = crowd(5).await;
    let mut stream = sessions[0].stream().await;
    stream.next_of("presence_state").await;
    app.session("one more").await.join(ROOM).await;
    let (kind, data) = until_count(&mut stream, 6).await;
    assert_eq!(kind, "presence");
    assert_eq!(data["truncated"], true);
    for member in ["joins", "leaves"] {
        assert!(data.get(member).is_none_or(|list| *list == json!([])), "{data}");
    }
    sessions[1].leave(ROOM).await;
    assert_eq!(until_count(&mut stream, 5).await.1["truncated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_becomes_crowded_and_when_it_empties_its_state_starts_afresh() {
    let (app, sessions) = crowd(2).await;
    let mut stream = sessions[0].stream().await;
    let mut view = PresenceView::default();
    view.take(&stream.next_of("presence_state").await);
    let others = app.sessions("other", 3).await;
    for session in &others {
        session.join(ROOM).await;
    }
    while view.count < 5 {
        view.take(&stream.next_of("presence").await);
    }
    assert!(view.truncated, "{view:?}");
    others[0].leave(ROOM).await;
    others[1].leave(ROOM).await;
    let (kind, state) = until_count(&mut stream, 3).await;
    assert_eq!(kind, "presence_state");
    assert!(state.get("truncated").is_none_or(|truncated| *truncated == false), "{state}");
    let mut present: Vec<&str> = list(&state, "presences").iter().map(|p| text(p, "session_id")).collect();
    present.sort_unstable();
    let mut expected = [sessions[0].id.as_str(), &sessions[1].id, &others[2].id];
    expected.sort_unstable();
    assert_eq!(present, expected);

    others[2].leave(ROOM).await;
    let (kind, difference) = until_count(&mut stream, 2).await;
    assert_eq!(kind, "presence", "and differences are whole again");
    assert_eq!(difference["leaves"][0]["session_id"], *others[2].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowds_whole_list_is_read_in_pages() {
    let (_app, sessions) = crowd(7).await;
    let mut seen = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = sessions[0].get(&format!("/v1/topics/{ROOM}/presences?{query}")).await.expect(200);
        seen.extend(list(&page, "presences").iter().map(|presence| text(presence, "session_id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("limit=3&cursor={}", encode(cursor));
    }
    seen.sort_unstable();
    let mut expected: Vec<String> = sessions.iter().map(|session| session.id.clone()).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}
