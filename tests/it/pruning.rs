//! Pruning: entries older than `PARLOUR_HISTORY_TTL` are removed, and the others keep their numbers.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{TestApp, number, seqs};

const ROOM: &str = "room:lobby";

#[tokio::test(flavor = "multi_thread")]
async fn pruned_entries_leave_history_and_are_a_gap_for_who_comes_back() {
    let mut app = TestApp::with(&["--history-ttl", "2s"]).await;
    let ana = app.session("ana").await;
    ana.join(ROOM).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    let id = stream.cut();
    ana.send_numbers(ROOM, 1..=70).await;

    let deadline = Instant::now() + Duration::from_secs(60);
    while !ana.whole_history(ROOM).await.is_empty() {
        assert!(Instant::now() < deadline, "nothing is pruned");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(number(&ana.topic(ROOM).await, "last_seq"), 70, "the numbers stay");
    assert!(ana.history(ROOM, "at_time=2026-01-01T00:00:00Z&direction=forward").await.messages.is_empty());
    app.restart().await; // its memory still holds the pruned entries

    let mut stream = ana.stream_from(&id).await;
    assert_eq!(number(&stream.ready().await["topics"][0], "position"), 0);
    let mut next = 1;
    while next <= 70 {
        let gap = stream.next_of("gap").await;
        assert_eq!((gap.data["pruned"].as_bool(), number(&gap.data, "from_seq")), (Some(true), next), "{gap:?}");
        assert!(gap.id.is_some(), "the stream goes on after it");
        next = number(&gap.data, "to_seq") + 1;
    }
    assert_eq!(next, 71);
    assert_eq!(number(&ana.send(ROOM, json!("later")).await, "seq"), 71);
    assert_eq!(seqs(&stream.messages(1).await), [71]);
}
