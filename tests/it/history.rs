//! History: a topic's log in pages, in both directions, without a join.

use serde_json::json;

use crate::support::{Page, Session, TestApp, contents, list, members, messages_of, number, seqs, text};

async fn room_of(messages: u64) -> (TestApp, Session) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send_numbers("room:lobby", 1..=messages).await;
    (app, ana)
}

/// Follows the cursors to the end of a direction and returns the sequence numbers page by page.
async fn pages(session: &Session, direction: &str, limit: usize) -> Vec<Vec<u64>> {
    let query = format!("direction={direction}&limit={limit}");
    let mut page = session.history("room:lobby", &query).await;
    let mut pages = Vec::new();
    loop {
        pages.push(seqs(&page.messages));
        let Some(cursor) = page.next_cursor else { return pages };
        if page.messages.is_empty() {
            return pages;
        }
        page = session.history("room:lobby", &format!("{query}&cursor={cursor}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_messages_and_two_cursors() {
    let (_app, ana) = room_of(3).await;
    let page = ana.history("room:lobby", "limit=2").await;
    assert_eq!(members(&page.reply.json()), ["messages", "next_cursor", "prev_cursor"]);
    assert_eq!(contents(&page.messages), [json!(3), json!(2)]);
    let cursor = page.next_cursor.unwrap();
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(cursor.bytes().all(base64url), "{cursor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn backward_is_the_default_and_newest_first_to_the_first_entry() {
    let (_app, ana) = room_of(10).await;
    assert_eq!(pages(&ana, "backward", 4).await, [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]);
    assert_eq!(pages(&ana, "backward", 5).await, [vec![10, 9, 8, 7, 6], vec![5, 4, 3, 2, 1]]);
    let unsaid = ana.page(&messages_of("room:lobby")).await;
    assert_eq!(seqs(&unsaid.messages), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(unsaid.next_cursor, None, "backward, history ends with the first entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_is_oldest_first_and_its_cursor_stays_valid_for_polling() {
    let (_app, ana) = room_of(5).await;
    assert_eq!(pages(&ana, "forward", 2).await, [vec![1, 2], vec![3, 4], vec![5], vec![]]);
    let mut page = ana.history("room:lobby", "direction=forward").await;
    for seq in 6..=8 {
        let cursor = page.next_cursor.expect("forward, there is always a next");
        let poll = format!("direction=forward&cursor={cursor}");
        let empty = ana.history("room:lobby", &poll).await;
        assert!(empty.messages.is_empty());
        let later = format!("direction=forward&cursor={}", empty.next_cursor.expect("nor does an empty page end it"));
        ana.send("room:lobby", json!(seq)).await;
        assert_eq!(seqs(&ana.history("room:lobby", &poll).await.messages), [seq]);
        page = ana.history("room:lobby", &later).await;
        assert_eq!(seqs(&page.messages), [seq]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_history_ends_backward_and_waits_forward() {
    let (_app, ana) = room_of(0).await;
    assert_eq!(ana.history("room:lobby", "").await.next_cursor, None);
    let forward = ana.history("room:lobby", "direction=forward").await;
    let cursor = forward.next_cursor.unwrap();
    ana.send("room:lobby", json!("first")).await;
    let page = ana.history("room:lobby", &format!("direction=forward&cursor={cursor}")).await;
    assert_eq!(contents(&page.messages), [json!("first")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_50_messages_unless_it_is_asked_for_1_to_100() {
    let (_app, ana) = room_of(105).await;
    assert_eq!(ana.history("room:lobby", "").await.messages.len(), 50);
    assert_eq!(ana.history("room:lobby", "limit=1").await.messages.len(), 1);
    assert_eq!(ana.history("room:lobby", "limit=100").await.messages.len(), 100);
    for limit in ["0", "101", "x", "-1", "1.5", "", "99999999999999999999"] {
        let reply = ana.get(&format!("{}?limit={limit}", messages_of("room:lobby"))).await;
        assert_eq!(reply.status, 422, "limit={limit}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_may_start_at_a_seq() {
    let (_app, ana) = room_of(10).await;
    let at = async |query: &str| seqs(&ana.history("room:lobby", query).await.messages);
    assert_eq!(at("direction=forward&at_seq=4&limit=3").await, [4, 5, 6]);
    assert_eq!(at("direction=backward&at_seq=4&limit=3").await, [4, 3, 2]);
    assert_eq!(at("at_seq=4").await, [4, 3, 2, 1]);
    assert_eq!(at("direction=forward&at_seq=11").await, Vec::<u64>::new());
    assert_eq!(at("direction=backward&at_seq=1000000&limit=2").await, [10, 9]);
    let page = ana.history("room:lobby", "direction=forward&at_seq=4&limit=3").await;
    let next = format!("direction=forward&limit=3&cursor={}", page.next_cursor.unwrap());
    assert_eq!(at(&next).await, [7, 8, 9]);
    for value in ["x", "-1", "1.5", ""] {
        let reply = ana.get(&format!("{}?at_seq={value}", messages_of("room:lobby"))).await;
        assert_eq!(reply.status, 422, "at_seq={value}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_may_start_at_a_time() {
    let (_app, ana) = room_of(0).await;
    let mut sent = vec![ana.send("room:lobby", json!("first")).await];
    // Until two messages have different times, so that one time has messages before and after it.
    while text(&sent[0], "created_at") == text(&sent[sent.len() / 2], "created_at")
        || text(&sent[sent.len() / 2], "created_at") == text(&sent[sent.len() - 1], "created_at")
    {
        sent.push(ana.send("room:lobby", json!("more")).await);
    }
    let time = text(&sent[sent.len() / 2], "created_at");
    let expected = |keep: fn(&str, &str) -> bool| -> Vec<u64> {
        sent.iter().filter(|m| keep(text(m, "created_at"), time)).map(|m| number(m, "seq")).collect()
    };
    let at = async |query: &str| seqs(&ana.history("room:lobby", query).await.messages);
    let from = expected(|created, time| created >= time);
    let mut until = expected(|created, time| created <= time);
    until.reverse();
    let count = from.len().min(20);
    assert_eq!(at(&format!("direction=forward&limit=20&at_time={time}")).await, from[..count]);
    let count = until.len().min(20);
    assert_eq!(at(&format!("direction=backward&limit=20&at_time={time}")).await, until[..count]);

    assert_eq!(at("direction=forward&at_time=2000-01-01T00:00:00Z&limit=1").await, [1]);
    assert!(at("direction=backward&at_time=2000-01-01T00:00:00Z").await.is_empty());
    assert!(at("direction=forward&at_time=2999-01-01T00:00:00.000Z").await.is_empty());
    assert_eq!(at("direction=backward&at_time=2999-01-01T01:00:00%2B01:00&limit=1").await, [sent.len() as u64]);
    for value in ["yesterday", "12", "2026-13-01T00:00:00Z", "2026-01-01", ""] {
        let reply = ana.get(&format!("{}?at_time={value}", messages_of("room:lobby"))).await;
        assert_eq!(reply.status, 422, "at_time={value}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_is_backward_or_forward() {
    let (_app, ana) = room_of(1).await;
    for direction in ["sideways", "Forward", "", "1"] {
        let reply = ana.get(&format!("{}?direction={direction}", messages_of("room:lobby"))).await;
        assert_eq!(reply.status, 422, "direction={direction}: {reply:?}");
    }
}

/// The target of a `Link` header's relation (RFC 8288).
fn link(page: &Page, relation: &str) -> Option<String> {
    let links = page.reply.headers.get_all("link").iter().map(|value| value.to_str().unwrap());
    let mut links = links.flat_map(|value| value.split(',')).map(str::trim);
    let relation = format!("rel=\"{relation}\"");
    let found = links.find(|link| link.contains(&relation))?;
    Some(found.trim_start_matches('<').split('>').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn link_headers_lead_where_the_cursors_lead() {
    let (_app, ana) = room_of(6).await;
    for direction in ["forward", "backward"] {
        let first = ana.history("room:lobby", &format!("direction={direction}&limit=2")).await;
        let next = link(&first, "next").expect("a link to the next page");
        assert!(next.contains(first.next_cursor.as_ref().unwrap()), "{next}");
        let second = ana.page(&next).await;
        let expected = if direction == "forward" { [3, 4] } else { [4, 3] };
        assert_eq!(seqs(&second.messages), expected, "the link keeps direction and limit");
        let previous = link(&second, "prev").expect("a link to the previous page");
        assert!(previous.contains(second.prev_cursor.as_ref().unwrap()), "{previous}");
        let mut back = seqs(&ana.page(&previous).await.messages);
        back.sort_unstable();
        let mut there = seqs(&first.messages);
        there.sort_unstable();
        assert_eq!(back, there, "what is before the second page is the first");
    }
    let last = ana.history("room:lobby", "limit=100").await;
    assert_eq!(link(&last, "next"), None, "backward, nothing comes after the first entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peek_makes_no_presence_and_no_join() {
    let (app, ana) = room_of(2).await;
    let bea = app.session("bea").await;
    assert_eq!(bea.history("room:lobby", "").await.messages.len(), 2);
    assert_eq!(ana.present("room:lobby").await, [ana.id.clone()]);
    assert_eq!(list(&bea.get("/v1/session/topics").await.expect(200), "topics").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_lives_through_a_restart_and_so_do_its_cursors() {
    let (mut app, ana) = room_of(6).await;
    let before = ana.whole_history("room:lobby").await;
    let cursor = ana.history("room:lobby", "limit=3").await.next_cursor.unwrap();
    app.restart().await;
    assert_eq!(ana.whole_history("room:lobby").await, before);
    assert_eq!(seqs(&ana.history("room:lobby", &format!("limit=3&cursor={cursor}")).await.messages), [3, 2, 1]);
    assert_eq!(ana.send("room:lobby", json!("on")).await["seq"], 7);
}
