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

fn began(track: &Track) -> Look {
    Look { number: 0, began: Instant::now(), changes: track.lock().changes }
}

/// What a client knows: sessions by id.
fn apply(client: &mut BTreeMap<String, Value>, data: &Bytes) {
    let data: Value = serde_json::from_slice(data).expect("JSON");
    let id = |p: &Value| p["session_id"].as_str().expect("an id").to_owned();
    let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
    if data.get("presences").is_some() {
        client.clear();
    }
    client.extend(list("presences").iter().chain(&list("joins")).map(|p| (id(p), p.clone())));
    list("leaves").iter().for_each(|p| drop(client.remove(&id(p))));
}

proptest! {
    /// Whatever happens between the looks, and whichever intervals a stream slept through, its differences add up
    /// to the list.
    #[test]
    fn differences_add_up(
        steps in proptest::collection::vec((proptest::collection::btree_map(0u8..12, 0i64..3, 0..10), any::<bool>()), 1..20)
    ) {
        const LIMIT: usize = 6;
        let topic = TopicId::stored("room:a");
        let track = Track::default();
        let mut shown: Option<Arc<PresenceView>> = None;
        let mut client = BTreeMap::new();
        for (sessions, awake) in steps {
            let view = track.renew(&began(&track), present(&sessions, LIMIT));
            track.publish(&topic);
            let published = track.published().expect("published");
            match &shown {
                _ if !awake => continue,
                None => apply(&mut client, &view.state(&topic)),
                Some(last) => match published.since(last, &topic) {
                    Difference::Nothing => {}
                    Difference::Changes(data) => apply(&mut client, &data),
                    Difference::Afresh => apply(&mut client, &published.view.state(&topic)),
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
    /// A view to which somebody was added is what would have been read; of a crowd, too.
    #[test]
    fn who_is_added_is_there_as_if_read(
        mut sessions in proptest::collection::btree_map(0u8..12, 0i64..3, 0..10),
        came in proptest::collection::vec((0u8..12, 0i64..3), 1..4),
    ) {
        const LIMIT: usize = 6;
        let track = Track::default();
        track.renew(&began(&track), present(&sessions, LIMIT));
        for (session, since) in came {
            if sessions.contains_key(&session) {
                continue; // who is there already has not come
            }
            sessions.insert(session, since);
            prop_assert!(track.add(&newcomer(session, since), Millis(9), Instant::now(), Millis(0), LIMIT));
            let view = track.current(Millis(0)).expect("a view");
            let read = present(&sessions, LIMIT);
            prop_assert!(view.same(&read));
            let json = view.list_json();
            prop_assert_eq!(json.get(), serde_json::to_string(&read.list)?);
            prop_assert_eq!(view.is_truncated(), sessions.len() > LIMIT);
        }
    }
}

#[tokio::test]
async fn nobody_is_added_to_a_view_that_may_be_wrong() {
    let track = Track::default();
    let add = |since, now| track.add(&newcomer(7, 0), Millis(5), since, Millis(now), 6);
    let read = |next_expiry| Present { next_expiry, ..present(&BTreeMap::from([(1, 0)]), 6) };
    let early = Instant::now();
    assert!(!add(Instant::now(), 0), "nobody has looked");
    let look = began(&track);
    track.touch();
    track.renew(&look, read(None));
    assert!(!add(Instant::now(), 0), "something has changed since the look began");
    assert!(track.current(Millis(0)).is_none());
    track.renew(&began(&track), read(Some(Millis(3))));
    assert!(!add(early, 0), "they may have gone again before the look");
    assert!(!add(Instant::now(), 3), "somebody's time has run out");
    let looking = track.looking.lock().await;
    assert!(!add(Instant::now(), 0), "a look may find that they have gone");
    drop(looking);
    assert!(add(Instant::now(), 0));
    // As long as they are there at least, and no longer.
    track.renew(&began(&track), read(None));
    assert!(add(Instant::now(), 0) && track.current(Millis(4)).is_some() && track.current(Millis(5)).is_none());
}

#[test]
fn who_was_added_is_published_without_a_look() {
    let topic = TopicId::stored("room:a");
    let track = Track::default();
    track.renew(&began(&track), present(&BTreeMap::from([(1, 0)]), 6));
    let interval = |expected| {
        assert_eq!(track.begin(Millis(0)), expected);
        assert_eq!(track.publish(&topic), expected.is_some());
        track.end();
    };
    interval(Some(Due::Publish));
    interval(None);
    assert!(track.add(&newcomer(7, 0), Millis(5), Instant::now(), Millis(0), 6));
    interval(Some(Due::Publish));
    track.touch();
    assert_eq!(track.begin(Millis(0)), Some(Due::Look));
    assert_eq!(track.begin(Millis(0)), None, "one at a time");
    track.end();
    assert_eq!(track.begin(Millis(5)), Some(Due::Look));
}

/// What is written for many is kept while many ask.
#[test]
fn the_latest_list_is_written_once_and_given_up_when_all_is_quiet() {
    let track = Track::default();
    let first = track.renew(&began(&track), present(&BTreeMap::from([(1, 0)]), 6));
    let json = first.list_json();
    assert!(Arc::ptr_eq(&json, &first.list_json()));
    assert!(track.publish(&TopicId::stored("room:a")));
    let interval = || assert!(track.begin(Millis(0)).is_none());
    (1..QUIET).for_each(|_| interval());
    assert!(Arc::ptr_eq(&json, &first.list_json()), "some may ask yet");
    interval();
    assert_eq!(Arc::strong_count(&json), 1, "nothing happens: nobody is likely to ask");
    assert!(Arc::ptr_eq(&first.list_json(), &first.list_json()));
    assert!(track.add(&newcomer(7, 0), Millis(5), Instant::now(), Millis(0), 6));
    assert!(!Arc::ptr_eq(&first.list_json(), &first.list_json()), "another list has taken its place");
    assert_eq!(json.get(), first.list_json().get());
}

#[tokio::test]
async fn a_look_is_never_older_than_its_call() {
    let track = Track::default();
    let (first, second) = (BTreeMap::from([(1, 0)]), BTreeMap::from([(1, 0), (2, 0)]));
    let look = async |sessions: &BTreeMap<u8, i64>| track.look(async || Ok::<_, ()>(present(sessions, 6))).await;
    assert_eq!(look(&first).await.map(|view| view.count()), Ok(1));
    let running = track.looking.lock().await;
    let mut late = Box::pin(look(&second));
    let mut failing = Box::pin(track.look(async || Err::<Present, _>(())));
    assert!(futures_util::poll!(&mut failing).is_pending() && futures_util::poll!(&mut late).is_pending());
    drop(running);
    // One that fails is shared with nobody.
    assert!(failing.await.is_err());
    assert_eq!(late.await.map(|view| view.count()), Ok(2));
}

#[test]
fn nothing_changed_is_nothing() {
    let topic = TopicId::stored("room:a");
    let track = Track::default();
    let sessions = BTreeMap::from([(1, 0), (2, 0)]);
    let first = track.renew(&began(&track), present(&sessions, 6));
    assert!(track.publish(&topic));
    assert!(Arc::ptr_eq(&first, &track.renew(&began(&track), present(&sessions, 6))));
    assert!(!track.publish(&topic));
}
