//! How streams end: replaced by a newer one, by age or by shutdown, and how an EventSource goes on from there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{DEADLINE, RawStream, ServerProcess, Tally, TestApp, contents, list, seqs, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_ends_the_first_and_the_first_gives_up() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut first = ana.stream().await;
    first.ready().await;
    let mut second = ana.stream().await;
    second.ready().await;

    let bye = first.bye("replaced").await;
    assert_eq!(bye.data, json!({"reason": "replaced", "reconnect": false}));
    let mark = bye.id.expect("a mark that answers 204 when it is brought back");
    // An EventSource reconnects with it in the header; a page with its own code may use the query.
    app.get(&ana.events_url).header("last-event-id", &mark).send().await.expect(204);
    app.get(&format!("{}&last_event_id={mark}", ana.events_url)).send().await.expect(204);

    ana.send("room:lobby", json!("to the newer one")).await;
    assert_eq!(contents(&second.messages(1).await), [json!("to the newer one")], "which lives");
    second.expect_none_of("bye", Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_a_replaced_stream_concerns_its_own_session_only() {
    let app = TestApp::start().await;
    let (ana, phone) = (app.session("ana").await, app.session("ana").await);
    let mut first = ana.stream().await;
    first.ready().await;
    let mut second = ana.stream().await;
    second.ready().await;
    let mark = first.bye("replaced").await.id.unwrap();
    phone.stream_from(&mark).await.ready().await;
    drop(second);
    ana.stream().await.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_streams_opened_at_once_one_stays() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let mut streams = futures_util::future::join_all((0..8).map(|_| ana.stream())).await;
    let mut last = ana.stream().await;
    last.ready().await;
    for stream in &mut streams {
        stream.bye("replaced").await;
    }
    ana.send("room:lobby", json!("hi")).await;
    assert_eq!(last.messages(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_replaced_stream_does_not_end_the_newer_ones_presence() {
    let app = TestApp::with(&["--presence-grace", "2s"]).await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    // Each has a stream before it joins: from then on no grace period runs, however slow the machine is.
    let mut watch = bea.stream().await;
    watch.ready().await;
    let mut first = ana.stream().await;
    first.ready().await;
    bea.join("room:lobby").await;
    watch.next_of("presence_state").await;
    ana.join("room:lobby").await;
    assert_eq!(watch.next_of("presence").await.data["joins"][0]["session_id"], *ana.id);
    let mut second = ana.stream().await;
    second.ready().await;
    first.bye("replaced").await;
    drop(first);
    watch.expect_silence(Duration::from_millis(3_500)).await;
    assert_eq!(bea.present("room:lobby").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_maximum_age_and_its_client_comes_back() {
    let app = TestApp::with(&["--stream-max-age", "3s"]).await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!("one")).await;
    let opened = Instant::now();
    let mut stream = ana.stream().await;
    stream.ready().await;
    assert_eq!(seqs(&stream.messages(1).await), [1]);
    let id = stream.last_id();
    let before = stream.retries().len();
    let bye = stream.bye("max_age").await;
    assert_eq!(bye.data, json!({"reason": "max_age", "reconnect": true}));
    assert!(opened.elapsed() > Duration::from_millis(1_500), "jittered, but not at once: {:?}", opened.elapsed());
    assert!(stream.retries().len() > before, "a jittered retry spreads the reconnects");
    assert_eq!(stream.last_id(), id, "the id stays the one to come back with");
    ana.send("room:lobby", json!("two")).await;
    assert_eq!(seqs(&ana.stream_from(&id).await.messages(1).await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_rotate_by_age_lose_and_double_nothing() {
    let app = TestApp::with(&["--stream-max-age", "1s"]).await;
    let ana = app.session("ana").await;
    let mut tally = Tally::default();
    for room in ["room:a", "room:b"] {
        ana.join(room).await;
        tally.starts(room, 0);
    }
    let rotations = AtomicUsize::new(0);
    let writing = async {
        let since = Instant::now();
        let mut sent = 0;
        while rotations.load(Ordering::Relaxed) < 3 {
            assert!(since.elapsed() < 3 * DEADLINE, "{rotations:?} rotations in {:?}", since.elapsed());
            for room in ["room:a", "room:b"] {
                ana.send(room, json!(sent)).await;
            }
            sent += 1;
        }
        for room in ["room:a", "room:b"] {
            ana.send(room, json!("end")).await;
        }
    };
    let reading = async {
        let mut ended = 0;
        let mut stream = ana.stream().await;
        let deadline = Instant::now() + 4 * DEADLINE;
        while ended < 2 {
            assert!(Instant::now() < deadline, "{ended} topics ended after {rotations:?} rotations: {tally:?}");
            let event = stream.next().await;
            if event.event == "bye" {
                assert_eq!(event.data["reason"], "max_age");
                rotations.fetch_add(1, Ordering::Relaxed);
                stream = ana.stream_from(&stream.last_id()).await;
            } else if tally.take(&event) && event.data["content"] == "end" {
                ended += 1;
            }
        }
    };
    futures_util::future::join(writing, reading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_streams_end_with_bye_and_go_on_at_the_next_instance() {
    let mut app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let (mut to_ana, mut to_bea) = (ana.stream().await, bea.stream().await);
    ana.send_numbers("room:lobby", 1..=3).await;
    to_ana.messages(3).await;
    to_bea.messages(3).await;
    app.stop().await;
    for stream in [&mut to_ana, &mut to_bea] {
        let bye = stream.bye("shutdown").await;
        assert_eq!(bye.data, json!({"reason": "shutdown", "reconnect": true}));
        assert!(stream.retries().len() >= 2, "a jittered retry spreads the reconnects");
    }
    app.start_again().await;
    bea.send("room:lobby", json!(4)).await;
    assert_eq!(seqs(&ana.stream_from(&to_ana.cut()).await.messages(1).await), [4]);
    assert_eq!(seqs(&bea.stream_from(&to_bea.cut()).await.messages(1).await), [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_before_a_shutdown_is_there_after_it() {
    let mut app = TestApp::start().await;
    let ana = app.session("ana").await;
    ana.join("room:lobby").await;
    let before = (0..40).map(|number| ana.send("room:lobby", json!(number)));
    let sending = tokio::spawn(futures_util::future::join_all((0..200).map(|number| {
        let ana = ana.clone();
        async move {
            let body = json!({"content": number});
            let call = ana.call(reqwest::Method::POST, "/v1/topics/room:lobby/messages").json(&body);
            call.try_send().await.ok().filter(|reply| reply.status == 201).map(|reply| reply.json())
        }
    })));
    let before = futures_util::future::join_all(before).await;
    app.stop().await;
    let acknowledged: Vec<_> = sending.await.unwrap().into_iter().flatten().chain(before).collect();
    app.start_again().await;
    let history = ana.whole_history("room:lobby").await;
    assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>());
    for message in acknowledged {
        assert!(history.contains(&message), "{message} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_waiting_poll_nor_a_reader_that_does_not_read_holds_a_shutdown() {
    let mut app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join("room:lobby").await;
    }
    let stalled = RawStream::open(&ana, Some(16 * 1024), None).await;
    let first = bea.poll("wait=0").await.expect(200);
    for _ in 0..300 {
        ana.send("room:lobby", json!("x".repeat(16_000))).await;
    }
    // It continues at the end, so that the next poll has nothing to return and waits.
    let end = bea.poll(&format!("wait=0&from=now&last_event_id={}", text(&first, "last_event_id"))).await.expect(200);
    let mut id = text(&end, "last_event_id").to_owned();
    loop {
        let more = bea.poll(&format!("wait=1&last_event_id={id}")).await.expect(200);
        if list(&more, "events").is_empty() {
            break;
        }
        text(&more, "last_event_id").clone_into(&mut id);
    }
    let query = format!("wait=30&last_event_id={id}");
    bea.until_streaming(false).await;
    let (polled, ()) = futures_util::future::join(bea.poll(&query), async {
        // Until the poll has arrived: it counts as the stream, so `stream_open` becomes true.
        bea.until_streaming(true).await;
        app.stop().await;
    })
    .await;
    let events = list(&polled.expect(200), "events").clone();
    assert!(events.iter().all(|event| event["event"] != "message"), "{events:?}");
    drop(stalled);
    app.start_again().await;
    assert_eq!(ana.last_seq("room:lobby").await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_gets_sigterm_drains_and_ends_well() {
    let mut server = ServerProcess::start(&[]).await;
    let ana = server.session("ana").await;
    ana.join("room:lobby").await;
    let mut stream = ana.stream().await;
    ana.send("room:lobby", json!("before")).await;
    assert_eq!(seqs(&stream.messages(1).await), [1]);
    let ended = server.terminate().await;
    assert!(ended.success(), "{ended}:\n{}", server.log());
    let bye = stream.bye("shutdown").await;
    assert_eq!(bye.data["reconnect"], true);
    server.restart().await;
    ana.send("room:lobby", json!("after")).await;
    assert_eq!(seqs(&ana.stream_from(&stream.cut()).await.messages(1).await), [2]);
}
