//! Cursors of history: opaque, bound to their topic and direction, and steady while others write.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join;
use serde_json::json;

use crate::support::{Group, TestApp, messages_of, seqs};

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_own_topic_and_direction_only() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
        ana.send_numbers(room, 1..=5).await;
    }
    let forward = ana.history("room:a", "direction=forward&limit=2").await.next_cursor.unwrap();
    let backward = ana.history("room:a", "direction=backward&limit=2").await.next_cursor.unwrap();
    ana.history("room:a", &format!("direction=forward&cursor={forward}")).await;
    ana.history("room:a", &format!("direction=backward&cursor={backward}")).await;
    for (room, query) in [
        ("room:b", format!("direction=forward&cursor={forward}")),
        ("room:b", format!("direction=backward&cursor={backward}")),
        ("room:a", format!("direction=backward&cursor={forward}")),
        ("room:a", format!("direction=forward&cursor={backward}")),
    ] {
        let reply = ana.get(&format!("{}?{query}", messages_of(room))).await;
        assert_eq!(reply.refused(400), "bad_cursor", "{room} {query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cursor_is_400() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=5).await;
    let cursor = ana.history("room:lobby", "direction=forward&limit=2").await.next_cursor.unwrap();
    let long = "A".repeat(3_000);
    let (cut, padded) = (&cursor[..cursor.len() - 2], format!("{cursor}AAAA"));
    for garbage in ["garbage", "", "AAAA", "%21%21", "%00", "%F0%9F%92%A9", &long, cut, &padded] {
        let reply = ana.get(&format!("{}?direction=forward&cursor={garbage}", messages_of("room:lobby"))).await;
        assert_eq!(reply.refused(400), "bad_cursor", "{garbage}");
    }
    // A change of any single character is noticed.
    for at in 0..cursor.len() {
        let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
        let altered = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
        let reply = ana.get(&format!("{}?direction=forward&cursor={altered}", messages_of("room:lobby"))).await;
        assert!([200, 400].contains(&reply.status), "{altered}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_skip_whatever_is_sent_meanwhile() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=60).await;
    let writing = async {
        for number in 61..=160 {
            ana.send("room:lobby", json!(number)).await;
        }
    };
    let reading = async {
        let mut backward = bea.history("room:lobby", "limit=3").await;
        let mut forward = bea.history("room:lobby", "direction=forward&limit=3").await;
        let (mut down, mut up) = (Vec::new(), Vec::new());
        loop {
            down.extend(seqs(&backward.messages));
            up.extend(seqs(&forward.messages));
            if up.last() == Some(&160) && backward.next_cursor.is_none() {
                return (down, up);
            }
            let cursor = forward.next_cursor.unwrap();
            forward = bea.history("room:lobby", &format!("direction=forward&limit=3&cursor={cursor}")).await;
            match &backward.next_cursor {
                Some(cursor) => backward = bea.history("room:lobby", &format!("limit=3&cursor={cursor}")).await,
                None => backward.messages.clear(),
            }
        }
    };
    let ((), (down, up)) = join(writing, reading).await;
    assert_eq!(up, (1..=160).collect::<Vec<_>>());
    assert_eq!(down, (1..=down[0]).rev().collect::<Vec<_>>());
}

/// Makes a cursor of a list that is ordered by text: the kind and the list's hash of a valid cursor, with another key.
fn forged(cursor: &str, key: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
    bytes.truncate(9);
    bytes.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_list_holds_is_no_place_in_it() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let group = Group::of(&ana, &[&bea]).await;
    Group::of(&ana, &[]).await;
    let members = group.path("/members?limit=1");
    for (list, key) in [("/v1/groups?limit=1", format!("a\0b\n{}", group.id)), (&members, "0\na\0b".to_owned())] {
        let cursor = ana.get(list).await.expect(200)["next_cursor"].as_str().unwrap().to_owned();
        ana.get(&format!("{list}&cursor={cursor}")).await.expect(200);
        let reply = ana.get(&format!("{list}&cursor={}", forged(&cursor, &key))).await;
        assert_eq!(reply.refused(400), "bad_cursor", "{list}");
    }
}
