//! Blocks concurrent with sends, joins, ephemeral messages and other blocks. Each test runs over many rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::{blocks_of, dm};
use crate::support::{EventStream, Random, Reply, Session, TestApp, list, messages_of, number, seqs, text};

async fn try_send_ephemeral(session: &Session, topic: &str, content: Value) -> Reply {
    session.post(&messages_of(topic), &json!({"content": content, "ephemeral": true})).await
}

/// Sends, stored or ephemeral, until a send is refused. Returns the acknowledged numbers. A send that starts after the
/// block's acknowledgement must be refused.
async fn send_until_blocked(
    session: Session,
    topic: String,
    round: u64,
    ephemeral: bool,
    over: Arc<AtomicBool>,
) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    loop {
        let too_late = over.load(Ordering::SeqCst);
        let reply = match ephemeral {
            true => try_send_ephemeral(&session, &topic, json!(round)).await,
            false => session.try_send(&topic, json!(round)).await,
        };
        match reply.status {
            403 => {
                assert_eq!(reply.refused(403), "blocked");
                return acknowledged;
            }
            201 => acknowledged.push(number(&reply.json(), "seq")),
            status => assert_eq!(status, 202, "{reply:?}"),
        }
        assert!(!too_late, "begun after the block was acknowledged: {reply:?}");
    }
}

/// Waits for about as long as a few calls take.
async fn wait_a_little(session: &Session, calls: usize) {
    for _ in 0..calls {
        session.get("/v1/me").await;
    }
}

/// Returns the events of the direct message on a stream, up to `left`.
async fn until_left(stream: &mut EventStream) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let event = stream.next().await;
        match event.event.as_str() {
            "message" => messages.push(event.data),
            "left" => {
                assert_eq!(event.data["reason"], "blocked");
                return messages;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_or_shown_after_a_block_is_acknowledged() {
    const ROUNDS: u64 = 25;
    let app = TestApp::start().await;
    let [ana, bea] = [app.session("ana").await, app.session("bea").await];
    let (to_bea, to_ana) = (dm(&bea), dm(&ana));
    let mut streams = [ana.stream().await, bea.stream().await];
    let mut end = 0;
    for round in 0..ROUNDS {
        join(ana.join(&to_bea), bea.join(&to_ana)).await;
        let over = Arc::new(AtomicBool::new(false));
        let senders = [(&ana, &to_bea), (&bea, &to_ana)].into_iter().flat_map(|(session, topic)| {
            [false, false, true].map(|ephemeral| {
                tokio::spawn(send_until_blocked(session.clone(), topic.clone(), round, ephemeral, over.clone()))
            })
        });
        let senders: Vec<_> = senders.collect();
        while ana.last_seq(&to_bea).await < end + 3 + round % 3 {}
        if round % 2 == 0 {
            ana.block(&bea).await;
        } else {
            bea.block(&ana).await;
        }
        over.store(true, Ordering::SeqCst);
        end = ana.last_seq(&to_bea).await;
        let refused = join(ana.try_send(&to_bea, json!("late")), bea.try_send(&to_ana, json!("late"))).await;
        assert_eq!((refused.0.status, refused.1.status), (403, 403));
        for acknowledged in join_all(senders).await {
            let acknowledged = acknowledged.unwrap();
            assert!(acknowledged.iter().all(|&seq| seq <= end), "{acknowledged:?} after {end}");
        }
        for stream in &mut streams {
            for message in until_left(stream).await {
                assert_eq!(message["content"], round, "said in a round, shown in another: {message}");
                assert!(message["seq"].is_null() || number(&message, "seq") <= end, "{message} after {end}");
            }
        }
        assert_eq!(ana.last_seq(&to_bea).await, end);
        if round % 2 == 0 { ana.unblock(&bea).await } else { bea.unblock(&ana).await }
    }
    let history = ana.whole_history(&to_bea).await;
    assert_eq!(seqs(&history), (1..=end).collect::<Vec<_>>(), "dense");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_at_the_same_moment_is_refused_or_ends() {
    let app = TestApp::start().await;
    let [ana, bea] = [app.session("ana").await, app.session("bea").await];
    let [phone, laptop] = [app.session("ana").await, app.session("bea").await];
    let joiners = [(&phone, dm(&bea)), (&bea, dm(&ana)), (&laptop, dm(&ana))];
    let mut streams = join_all(joiners.iter().map(|(session, _)| session.stream())).await;
    let (mut joined, mut refused) = (0, 0);
    for round in 0..40 {
        // One starts a little later, in turns, so that either may win.
        let block = async {
            wait_a_little(&ana, round % 4).await;
            ana.block(&bea).await;
        };
        let joining = joiners.iter().map(async |(session, topic)| {
            wait_a_little(session, round / 4 % 4).await;
            session.try_join(topic).await
        });
        let ((), replies) = join(block, join_all(joining)).await;
        for (((session, topic), reply), stream) in joiners.iter().zip(replies).zip(&mut streams) {
            if reply.status == 200 {
                // A client that got the join's response gets its end, even if its stream had not seen the join yet.
                until_left(stream).await;
                joined += 1;
            } else {
                assert_eq!(reply.refused(403), "blocked");
                refused += 1;
            }
            assert!(list(&session.get("/v1/session/topics").await.expect(200), "topics").is_empty());
            assert_eq!(session.try_send(topic, json!("hi")).await.refused(403), "blocked");
            assert!(session.present(topic).await.is_empty());
        }
        ana.unblock(&bea).await;
    }
    assert!(joined > 0 && refused > 0, "{joined} joins came first, {refused} were refused");
    assert_eq!(ana.last_seq(&dm(&bea)).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_even_the_first_message_is_stored_after_a_block() {
    let app = TestApp::start().await;
    for round in 0..40 {
        let [ana, bea] = [app.session(&format!("ana {round}")).await, app.session(&format!("bea {round}")).await];
        let (to_bea, to_ana) = (dm(&bea), dm(&ana));
        let blocker = async {
            let (one, other) = if round % 2 == 0 { (&ana, &bea) } else { (&bea, &ana) };
            wait_a_little(one, round % 5).await;
            one.block(other).await;
            ana.last_seq(&to_bea).await
        };
        let first = async |session: &Session, topic: &str| {
            session.try_join(topic).await.status == 200 && session.try_send(topic, json!("hi")).await.status == 201
        };
        let (end, sent) = join(blocker, join(first(&ana, &to_bea), first(&bea, &to_ana))).await;
        let sent = u64::from(sent.0) + u64::from(sent.1);
        assert_eq!((end, ana.last_seq(&to_bea).await), (sent, sent), "stored before the block or not at all");
        assert_eq!(ana.try_send(&to_bea, json!("hi")).await.refused(403), "blocked");
        assert_eq!(bea.try_join(&to_ana).await.refused(403), "blocked");
        assert_eq!(seqs(&bea.whole_history(&to_ana).await), (1..=sent).collect::<Vec<_>>());
    }
}

/// Blocks and unblocks a few times. Returns which came last.
async fn to_and_fro(one: &Session, other: &Session, acts: &[bool]) -> bool {
    for &blocks in acts {
        if blocks { one.block(other).await } else { one.unblock(other).await }
    }
    acts.last().copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_and_lifting_by_both_at_once_ends_as_the_last_calls_say() {
    let app = TestApp::start().await;
    let mut random = Random::new();
    let [ana, bea] = [app.session("ana").await, app.session("bea").await];
    for _ in 0..40 {
        let acts = [(); 2].map(|()| (0..=random.below(4)).map(|_| random.once_in(2)).collect::<Vec<_>>());
        let both = join(to_and_fro(&ana, &bea, &acts[0]), to_and_fro(&bea, &ana, &acts[1]));
        let ((ana_blocks, bea_blocks), _) = join(both, bea.try_join(&dm(&ana))).await;
        assert_eq!(blocks_of(&ana).await.len(), usize::from(ana_blocks), "{acts:?}");
        assert_eq!(blocks_of(&bea).await.len(), usize::from(bea_blocks), "{acts:?}");
        for (one, other) in [(&ana, &bea), (&bea, &ana)] {
            let joined = one.try_join(&dm(other)).await;
            if ana_blocks || bea_blocks {
                assert_eq!(joined.refused(403), "blocked", "{acts:?}");
            } else {
                joined.expect(200);
                one.send(&dm(other), json!("hi")).await;
            }
        }
        let _ = join(ana.unblock(&bea), bea.unblock(&ana)).await;
    }
    let history = ana.whole_history(&dm(&bea)).await;
    assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blocks_at_once_are_one() {
    let app = TestApp::start().await;
    let [ana, bea] = [app.session("ana").await, app.session("bea").await];
    join_all((0..12).map(|_| join(ana.block(&bea), bea.block(&ana)))).await;
    assert_eq!(blocks_of(&ana).await, [bea.user_id.clone()]);
    assert_eq!(blocks_of(&bea).await, [ana.user_id.clone()]);
    let id = text(&ana.topic(&dm(&bea)).await, "id").to_owned();
    assert_eq!(bea.topic(&dm(&ana)).await["id"], *id);
    join_all((0..12).map(|_| join(ana.unblock(&bea), bea.unblock(&ana)))).await;
    ana.join(&dm(&bea)).await;
}
