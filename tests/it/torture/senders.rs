//! Many senders at once into one room.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::{Session, TestApp, seqs, text};

#[tokio::test(flavor = "multi_thread")]
async fn of_32_senders_at_once_8_listeners_see_one_order_dense_and_each_message_once() {
    const SENDERS: usize = 32;
    const EACH: usize = 20;
    const TOTAL: usize = SENDERS * EACH;
    let app = TestApp::start().await;
    let senders = app.sessions("sender", SENDERS).await;
    let listeners = app.sessions("listener", 8).await;
    for session in senders.iter().chain(&listeners) {
        session.join("room:lobby").await;
    }
    let mut streams = join_all(listeners.iter().map(Session::stream)).await;
    let sending = join_all(senders.into_iter().map(|sender| {
        tokio::spawn(async move {
            let mut sent = Vec::with_capacity(EACH);
            for number in 0..EACH {
                sent.push(sender.send("room:lobby", json!([sender.username, number])).await);
            }
            sent
        })
    }));
    let listening = join_all(streams.iter_mut().map(|stream| stream.messages(TOTAL)));
    let (sent, received) = join(sending, listening).await;
    let sent: Vec<_> = sent.into_iter().map(Result::unwrap).collect();

    let first = &received[0];
    assert_eq!(seqs(first), (1..=TOTAL as u64).collect::<Vec<_>>(), "dense");
    assert!(received.iter().all(|other| other == first), "one order for all");
    let history = listeners[0].whole_history("room:lobby").await;
    assert_eq!(&history, first, "of the log as of the streams");
    for sent in &sent {
        assert!(seqs(sent).is_sorted(), "a sender's own messages stay in order");
        let [start, .., end] = seqs(sent)[..] else { unreachable!("more than one each") };
        let own = &history[usize::try_from(start).unwrap() - 1..usize::try_from(end).unwrap()];
        assert!(sent.iter().all(|message| own.contains(message)), "the acknowledgement is what is stored");
    }
    let ids: BTreeSet<&str> = history.iter().map(|message| text(message, "id")).collect();
    assert_eq!(ids.len(), TOTAL, "each exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_are_written_at_once_each_in_its_own_order() {
    let app = TestApp::start().await;
    let rooms: Vec<String> = (0..8).map(|number| format!("room:{number}")).collect();
    let writers = app.sessions("writer", 8).await;
    let listener = app.session("listener").await;
    for room in &rooms {
        listener.join(room).await;
        for writer in &writers {
            writer.join(room).await;
        }
    }
    let mut stream = listener.stream().await;
    let writing = join_all(writers.iter().enumerate().map(async |(at, writer)| {
        for number in 0..40 {
            writer.send(&rooms[(at + number) % rooms.len()], json!(number)).await;
        }
    }));
    let mut tally = crate::support::Tally::default();
    for room in &rooms {
        tally.starts(room, 0);
    }
    let reading = async {
        while tally.total() < 320 {
            tally.take(&stream.next().await);
        }
    };
    join(writing, reading).await;
    for room in &rooms {
        assert_eq!(tally.position(room), 40);
    }
}
