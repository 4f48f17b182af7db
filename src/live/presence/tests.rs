use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::model::{SessionId, UserId};

fn present(sessions: &BTreeMap<u8, i64>, limit: usize) -> Present {
    let presence = |(&session, &since): (&u8, &i64)| Presence {
        user_id: UserId::parse("ana").expect("an id"),
        username: "Ana".into(),
        session_id: SessionId(Uuid::from_u128(u128::from(session))),
        online_since: Millis(since),
    };
    let list = sessions.iter().take(limit).map(presence).collect();
    Present { list, count: sessions.len(), next_expiry: None }
}

fn began(presence: &TopicPresence) -> Refresh {
    Refresh { number: 0, began: Instant::now(), changes: presence.state.lock().changes }
}

/// Applies an event to the state of a client: sessions by id.
fn apply(client: &mut BTreeMap<String, Value>, data: &Bytes) {
    let data: Value = serde_json::from_slice(data).expect("JSON");
    let id = |p: &Value| p["session_id"].as_str().expect("an id").to_owned();
    let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
    if data.get("presences").is_some() {
        client.clear();
    }
    client.extend(list("presences").iter().chain(&list("joins")).map(|p| (id(p), p.clone())));
    for p in list("leaves") {
        client.remove(&id(&p));
    }
}

proptest! {
    /// Whatever happens between the refreshes, and whichever intervals a stream misses, its differences add up to the
    /// list.
    #[test]
    fn differences_add_up(
        steps in proptest::collection::vec((proptest::collection::btree_map(0u8..12, 0i64..3, 0..10), any::<bool>()), 1..20)
    ) {
        const LIMIT: usize = 6;
        let topic = TopicId::stored("room:a");
        let presence = TopicPresence::default();
        let mut shown: Option<Arc<PresenceView>> = None;
        let mut client = BTreeMap::new();
        for (sessions, awake) in steps {
            let view = presence.finish(&began(&presence), present(&sessions, LIMIT));
            presence.publish(&topic);
            let published = presence.published().expect("published");
            match &shown {
                _ if !awake => continue,
                None => apply(&mut client, &view.state(&topic)),
                Some(last) => match published.since(last, &topic) {
                    Difference::Nothing => {}
                    Difference::Changes(data) => apply(&mut client, &data),
                    Difference::WholeList => apply(&mut client, &published.view.state(&topic)),
                },
            }
            shown = Some(published.view.clone());
            if sessions.len() <= LIMIT {
                let mut whole = BTreeMap::new();
                apply(&mut whole, &view.state(&topic));
                prop_assert_eq!(&client, &whole);
            }
        }
    }
}

fn newcomer(session: u8, since: i64) -> Presence {
    present(&BTreeMap::from([(session, since)]), 1).list.remove(0)
}

proptest! {
    /// A view to which a session was added equals the one that would have been read; a truncated one, too.
    #[test]
    fn a_session_that_is_added_is_listed_as_if_read(
        mut sessions in proptest::collection::btree_map(0u8..12, 0i64..3, 0..10),
        came in proptest::collection::vec((0u8..12, 0i64..3), 1..4),
    ) {
        const LIMIT: usize = 6;
        let presence = TopicPresence::default();
        presence.finish(&began(&presence), present(&sessions, LIMIT));
        for (session, since) in came {
            if sessions.contains_key(&session) {
                continue; // it is online already
            }
            sessions.insert(session, since);
            prop_assert!(presence.add(&newcomer(session, since), Millis(9), Instant::now(), Millis(0), LIMIT));
            let view = presence.current(Millis(0)).expect("a view");
            let read = present(&sessions, LIMIT);
            prop_assert!(view.equals(&read));
            let json = view.list_json();
            prop_assert_eq!(json.get(), serde_json::to_string(&read.list)?);
            prop_assert_eq!(view.is_truncated(), sessions.len() > LIMIT);
        }
    }
}

#[tokio::test]
async fn no_session_is_added_to_a_view_that_may_be_wrong() {
    let presence = TopicPresence::default();
    let add = |since, now| presence.add(&newcomer(7, 0), Millis(5), since, Millis(now), 6);
    let read = |next_expiry| Present { next_expiry, ..present(&BTreeMap::from([(1, 0)]), 6) };
    let early = Instant::now();
    assert!(!add(Instant::now(), 0), "nothing was read");
    let refresh = began(&presence);
    presence.invalidate();
    presence.finish(&refresh, read(None));
    assert!(!add(Instant::now(), 0), "something has changed since the refresh began");
    assert!(presence.current(Millis(0)).is_none());
    presence.finish(&began(&presence), read(Some(Millis(3))));
    assert!(!add(early, 0), "the session may have left again before the refresh");
    assert!(!add(Instant::now(), 3), "a session has expired");
    let refreshing = presence.refreshing.lock().await;
    assert!(!add(Instant::now(), 0), "a refresh may find that the session has left");
    drop(refreshing);
    assert!(add(Instant::now(), 0));
    // The view is current until the session may have left, and no longer.
    presence.finish(&began(&presence), read(None));
    assert!(add(Instant::now(), 0) && presence.current(Millis(4)).is_some() && presence.current(Millis(5)).is_none());
}

#[test]
fn a_session_that_was_added_is_published_without_a_refresh() {
    let topic = TopicId::stored("room:a");
    let presence = TopicPresence::default();
    presence.finish(&began(&presence), present(&BTreeMap::from([(1, 0)]), 6));
    let interval = |expected| {
        assert_eq!(presence.begin_interval(Millis(0)), expected);
        assert_eq!(presence.publish(&topic), expected.is_some());
        presence.end_interval();
    };
    interval(Some(Due::Publish));
    interval(None);
    assert!(presence.add(&newcomer(7, 0), Millis(5), Instant::now(), Millis(0), 6));
    interval(Some(Due::Publish));
    presence.invalidate();
    assert_eq!(presence.begin_interval(Millis(0)), Some(Due::Refresh));
    assert_eq!(presence.begin_interval(Millis(0)), None, "one at a time");
    presence.end_interval();
    assert_eq!(presence.begin_interval(Millis(5)), Some(Due::Refresh));
}

/// The JSON of a list is kept while many streams need it.
#[test]
fn the_latest_list_is_written_once_and_freed_after_quiet_intervals() {
    let presence = TopicPresence::default();
    let first = presence.finish(&began(&presence), present(&BTreeMap::from([(1, 0)]), 6));
    let json = first.list_json();
    assert!(Arc::ptr_eq(&json, &first.list_json()));
    assert!(presence.publish(&TopicId::stored("room:a")));
    let interval = || assert!(presence.begin_interval(Millis(0)).is_none());
    (1..QUIET_INTERVALS).for_each(|_| interval());
    assert!(Arc::ptr_eq(&json, &first.list_json()), "some streams may need it yet");
    interval();
    assert_eq!(Arc::strong_count(&json), 1, "nothing has changed for long enough");
    assert!(Arc::ptr_eq(&first.list_json(), &first.list_json()));
    assert!(presence.add(&newcomer(7, 0), Millis(5), Instant::now(), Millis(0), 6));
    assert!(!Arc::ptr_eq(&first.list_json(), &first.list_json()), "a later list has replaced it");
    assert_eq!(json.get(), first.list_json().get());
}

#[tokio::test]
async fn a_refresh_is_never_older_than_its_call() {
    let presence = TopicPresence::default();
    let first = BTreeMap::from([(1, 0)]);
    let second = BTreeMap::from([(1, 0), (2, 0)]);
    let refresh =
        async |sessions: &BTreeMap<u8, i64>| presence.refresh(async || Ok::<_, ()>(present(sessions, 6))).await;
    assert_eq!(refresh(&first).await.map(|view| view.count()), Ok(1));
    let running = presence.refreshing.lock().await;
    let mut late = Box::pin(refresh(&second));
    let mut failing = Box::pin(presence.refresh(async || Err::<Present, _>(())));
    assert!(futures_util::poll!(&mut failing).is_pending() && futures_util::poll!(&mut late).is_pending());
    drop(running);
    // A refresh that fails is not shared.
    assert!(failing.await.is_err());
    assert_eq!(late.await.map(|view| view.count()), Ok(2));
}

#[test]
fn an_equal_list_is_the_same_view() {
    let topic = TopicId::stored("room:a");
    let presence = TopicPresence::default();
    let sessions = BTreeMap::from([(1, 0), (2, 0)]);
    let first = presence.finish(&began(&presence), present(&sessions, 6));
    assert!(presence.publish(&topic));
    assert!(Arc::ptr_eq(&first, &presence.finish(&began(&presence), present(&sessions, 6))));
    assert!(!presence.publish(&topic));
}
