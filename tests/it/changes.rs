//! Edits and removals in history: left out in both directions and on every page, unless `changes=true`.

use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{Page, Session, TestApp, messages_of, number, seqs, text};

const ROOM: &str = "room:lobby";

/// Makes a room whose log is mostly edits and removals, in runs of many lengths and at its end. Returns it with the
/// numbers of the messages that its history shows.
async fn much_edited_room() -> (TestApp, Session, Vec<u64>) {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    let mut sent = Vec::new();
    for changes in [0, 1, 7, 0, 0, 3, 12, 2, 0, 5] {
        sent.push(ana.send(ROOM, json!("as it was sent")).await);
        for change in 0..changes {
            let target = &sent[change % sent.len()];
            if change % 4 == 3 {
                ana.remove(target).await;
            } else {
                ana.try_edit(target, json!(change)).await;
            }
        }
    }
    let shown = seqs(&sent);
    let last = ana.last_seq(ROOM).await;
    assert!(last > 20 && last > *shown.last().unwrap(), "the log ends with changes, and has many: {shown:?} of {last}");
    (app, ana, shown)
}

fn query(direction: &str, changes: bool, limit: usize) -> String {
    let changes = if changes { "&changes=true" } else { "" };
    format!("direction={direction}&limit={limit}{changes}")
}

/// Follows the cursors to the end of a direction, and from each page the cursor back to the page before.
async fn pages(session: &Session, query: &str) -> Vec<Vec<u64>> {
    let forward = query.contains("forward");
    let mut page = session.history(ROOM, query).await;
    let mut pages: Vec<Vec<u64>> = Vec::new();
    loop {
        match (&page.prev_cursor, pages.last()) {
            (None, None) => {}
            (Some(cursor), Some(before)) => {
                let back = session.history(ROOM, &format!("{query}&cursor={cursor}")).await;
                assert_eq!(seqs(&back.messages), *before, "the way back from {:?}", seqs(&page.messages));
            }
            (prev, before) => panic!("prev_cursor is {prev:?} after {before:?}"),
        }
        pages.push(seqs(&page.messages));
        let Some(cursor) = &page.next_cursor else { return pages };
        page = session.history(ROOM, &format!("{query}&cursor={cursor}")).await;
        if forward && page.messages.is_empty() {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_full_and_show_each_message_once_with_changes_or_without() {
    let (_app, ana, shown) = much_edited_room().await;
    let all: Vec<u64> = (1..=ana.last_seq(ROOM).await).collect();
    for changes in [false, true] {
        for direction in ["forward", "backward"] {
            let mut expected = if changes { all.clone() } else { shown.clone() };
            if direction == "backward" {
                expected.reverse();
            }
            for limit in [1, 2, 3, 5, 10, 100] {
                let expected: Vec<Vec<u64>> = expected.chunks(limit).map(<[u64]>::to_vec).collect();
                assert_eq!(pages(&ana, &query(direction, changes, limit)).await, expected, "{direction} by {limit}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_among_changes_is_the_nearest_message_in_the_direction() {
    let (_app, ana, shown) = much_edited_room().await;
    let log = ana.whole_log(ROOM).await;
    let first = async |query: &str| seqs(&ana.history(ROOM, &format!("{query}&limit=1")).await.messages);
    for entry in &log {
        let seq = number(entry, "seq");
        let before: Vec<u64> = shown.iter().rev().copied().find(|&other| other <= seq).into_iter().collect();
        let after: Vec<u64> = shown.iter().copied().find(|&other| other >= seq).into_iter().collect();
        assert_eq!(first(&format!("direction=backward&at_seq={seq}")).await, before);
        assert_eq!(first(&format!("direction=forward&at_seq={seq}")).await, after);
        for direction in ["backward", "forward"] {
            assert_eq!(first(&format!("direction={direction}&at_seq={seq}&changes=true")).await, [seq]);
        }
        let time = text(entry, "created_at");
        let made = |keep: fn(&str, &str) -> bool| {
            log.iter().filter(move |m| m["code"] == 0 && keep(text(m, "created_at"), time)).map(|m| number(m, "seq"))
        };
        let before: Vec<u64> = made(|created, time| created <= time).max().into_iter().collect();
        let after: Vec<u64> = made(|created, time| created >= time).min().into_iter().collect();
        assert_eq!(first(&format!("direction=backward&at_time={time}")).await, before);
        assert_eq!(first(&format!("direction=forward&at_time={time}")).await, after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_empty_leads_on_to_what_there_is() {
    let (_app, ana, shown) = much_edited_room().await;
    let (first, last) = (shown[0], *shown.last().unwrap());
    let beyond = ana.history(ROOM, &format!("direction=forward&limit=2&at_seq={}", last + 1)).await;
    assert_eq!(seqs(&beyond.messages), Vec::<u64>::new(), "nothing but changes there");
    let cursor = beyond.prev_cursor.expect("there is something before it");
    let back = ana.history(ROOM, &format!("direction=forward&limit=2&cursor={cursor}")).await;
    assert_eq!(seqs(&back.messages), shown[shown.len() - 2..]);
    let next = format!("direction=forward&limit=2&cursor={}", beyond.next_cursor.expect("forward, always"));
    assert_eq!(seqs(&ana.history(ROOM, &next).await.messages), Vec::<u64>::new());
    let sent = ana.send(ROOM, json!("more")).await;
    assert_eq!(seqs(&ana.history(ROOM, &next).await.messages), [number(&sent, "seq")]);

    let before = ana.history(ROOM, "direction=backward&limit=2&at_seq=0").await;
    assert_eq!((seqs(&before.messages), &before.next_cursor), (vec![], &None));
    let cursor = before.prev_cursor.expect("there is something after it");
    let back = ana.history(ROOM, &format!("direction=backward&limit=2&cursor={cursor}")).await;
    assert_eq!(seqs(&back.messages), [shown[1], first]);
}

/// The target of a `Link` header's relation (RFC 8288).
fn link(page: &Page, relation: &str) -> Option<String> {
    let links = page.reply.headers.get_all("link").iter().map(|value| value.to_str().unwrap());
    let mut links = links.flat_map(|value| value.split(',')).map(str::trim);
    let found = links.find(|link| link.contains(&format!("rel=\"{relation}\"")))?;
    Some(found.trim_start_matches('<').split('>').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn link_headers_go_on_with_changes_or_without() {
    let (_app, ana, shown) = much_edited_room().await;
    for (changes, expected) in [(false, &shown[2..4]), (true, &[3, 4][..])] {
        let first = ana.history(ROOM, &query("forward", changes, 2)).await;
        let next = link(&first, "next").expect("a link to the next page");
        assert_eq!(next.contains("changes=true"), changes, "{next}");
        let second = ana.page(&next).await;
        assert_eq!(seqs(&second.messages), expected);
        let previous = link(&second, "prev").expect("a link to the previous page");
        assert_eq!(previous.contains("changes=true"), changes, "{previous}");
        assert_eq!(seqs(&ana.page(&previous).await.messages), seqs(&first.messages));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_with_changes_and_without() {
    let (_app, ana, shown) = much_edited_room().await;
    let cursor = ana.history(ROOM, &query("forward", false, 3)).await.next_cursor.unwrap();
    let with = ana.history(ROOM, &format!("{}&cursor={cursor}", query("forward", true, 2))).await;
    assert_eq!(seqs(&with.messages), [shown[2] + 1, shown[2] + 2]);
    let cursor = with.next_cursor.unwrap();
    let without = ana.history(ROOM, &format!("{}&cursor={cursor}", query("forward", false, 2))).await;
    assert_eq!(seqs(&without.messages), shown[3..5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_is_true_or_false() {
    let (_app, ana, shown) = much_edited_room().await;
    let page = ana.history(ROOM, "direction=forward&changes=false").await;
    assert_eq!(seqs(&page.messages), shown);
    for value in ["1", "yes", "True", ""] {
        let reply = ana.get(&format!("{}?changes={value}", messages_of(ROOM))).await;
        assert_eq!(reply.refused(422), "invalid", "changes={value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_skip_whatever_is_changed_meanwhile() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    ana.join(ROOM).await;
    let mut sent = ana.send_numbers(ROOM, 1..=30).await;
    let writing = async {
        for round in 0..60_u64 {
            let target = &sent[usize::try_from(round).unwrap() % 30];
            if round % 5 == 4 {
                ana.remove(target).await;
            } else {
                ana.try_edit(target, json!("changed")).await;
            }
            if round % 3 == 0 {
                ana.send(ROOM, json!("more")).await;
            }
        }
        ana.send(ROOM, json!("end")).await
    };
    let reading = async {
        let mut shown: Vec<Value> = Vec::new();
        let mut page = bea.history(ROOM, "direction=forward&limit=2").await;
        loop {
            shown.append(&mut page.messages);
            if shown.last().is_some_and(|message| message["content"] == "end") {
                return shown;
            }
            let cursor = page.next_cursor.expect("forward, always");
            page = bea.history(ROOM, &format!("direction=forward&limit=2&cursor={cursor}")).await;
        }
    };
    let (end, shown) = join(writing, reading).await;
    let log = ana.whole_log(ROOM).await;
    assert_eq!(seqs(&log), (1..=number(&end, "seq")).collect::<Vec<_>>());
    sent = log.into_iter().filter(|entry| entry["code"] == 0).collect();
    assert_eq!(seqs(&shown), seqs(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_changes_are_left_history_is_empty() {
    let app = TestApp::with(&["--history-ttl", "3s"]).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    let sent = ana.send(ROOM, json!("soon forgotten")).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until the message is pruned. Its latest edits are younger and are still stored then.
    let refused = loop {
        let edited = ana.try_edit(&sent, json!("edited")).await;
        if edited.status != 200 {
            break edited;
        }
        assert!(Instant::now() < deadline, "nothing is pruned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refused.refused(404), "not_found");
    assert_eq!(ana.try_remove(&sent).await.refused(404), "not_found");
    let backward = ana.history(ROOM, "").await;
    assert_eq!((backward.messages, backward.next_cursor, backward.prev_cursor), (vec![], None, None));
    let forward = ana.history(ROOM, "direction=forward").await;
    assert_eq!((forward.messages, forward.prev_cursor), (vec![], None));
    let next = format!("direction=forward&cursor={}", forward.next_cursor.expect("forward, always"));
    let sent = ana.send(ROOM, json!("anew")).await;
    assert_eq!(ana.history(ROOM, &next).await.messages, [sent]);
}
