//! Losing a group under load: after the acknowledgement the user can neither send nor read nor receive there, and a
//! stream shows all entries up to the one that ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    DEADLINE, Group, RawStream, Session, Tally, TestApp, list, messages_of, number, seqs, silent, text, until_left,
};

const ROOM: &str = "room:next-door";

/// Sends until the flag is set or a send is refused.
fn keep_sending(session: &Session, topic: &str, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (session, topic, stop) = (session.clone(), topic.to_owned(), stop.clone());
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            session.send(&topic, json!("on and on")).await;
        }
    })
}

/// Sends until it is refused, and returns the refusal's status with what was acknowledged.
fn send_until_refused(session: &Session, topic: &str) -> JoinHandle<(u16, Vec<u64>)> {
    let (session, topic) = (session.clone(), topic.to_owned());
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        loop {
            let reply = session.try_send(&topic, json!("still in")).await;
            if reply.status != 201 {
                return (reply.status, acknowledged);
            }
            acknowledged.push(number(&reply.json(), "seq"));
        }
    })
}

/// Reads the end of the history until it is refused, and returns the refusal's status with the newest entry seen.
fn read_until_refused(session: &Session, topic: &str) -> JoinHandle<(u16, u64)> {
    let (session, path) = (session.clone(), format!("{}?limit=2", messages_of(topic)));
    tokio::spawn(async move {
        let mut newest = 0;
        loop {
            let reply = session.get(&path).await;
            if reply.status != 200 {
                return (reply.status, newest);
            }
            newest = newest.max(seqs(list(&reply.json(), "messages")).into_iter().max().unwrap_or(0));
        }
    })
}

async fn until_seq(session: &Session, topic: &str, seq: u64) {
    while session.last_seq(topic).await < seq {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_joined_during_a_kick_is_not_joined_afterwards() {
    let app = TestApp::start().await;
    let (ana, bea, phone) = (app.session("ana").await, app.session("bea").await, app.session("bea").await);
    for round in 0..40 {
        let group = Group::of(&ana, &[&bea]).await;
        let removing = async {
            match round % 4 {
                0 => group.ban(&ana, &bea).await,
                1 => group.leave(&phone).await,
                _ => group.kick(&ana, &bea).await,
            }
        };
        let joins = join(bea.try_join(&group.topic), phone.try_join(&group.topic));
        let (joined, removed) = join(joins, removing).await;
        removed.expect(204);
        for (session, joined) in [(&bea, joined.0), (&phone, joined.1)] {
            assert!([200, 404].contains(&joined.status), "{joined:?}");
            assert_eq!(session.get("/v1/session/topics").await.expect(200)["topics"], json!([]));
            session.try_send(&group.topic, json!(1)).await.refused(404);
        }
        assert_eq!(ana.present(&group.topic).await, Vec::<String>::new(), "no ghost is left");
        // If a join were left over, adding the user again would make it live again.
        group.unban(&ana, &bea).await.expect(204);
        group.add(&ana, &bea).await.expect(200);
        assert_eq!(bea.try_send(&group.topic, json!(1)).await.refused(409), "not_joined");
        assert_eq!(ana.present(&group.topic).await, Vec::<String>::new(), "no ghost comes back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_acknowledgement_on_a_removed_member_neither_sends_nor_reads() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for round in 0..20 {
        let group = Group::of(&ana, &[&bea, &cleo]).await;
        for session in [&ana, &bea, &cleo] {
            session.join(&group.topic).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let others = [keep_sending(&bea, &group.topic, &stop), keep_sending(&bea, &group.topic, &stop)];
        let sends = [send_until_refused(&cleo, &group.topic), send_until_refused(&cleo, &group.topic)];
        let reads: Vec<_> = (0..4).map(|_| read_until_refused(&cleo, &group.topic)).collect();
        until_seq(&ana, &group.topic, 12).await;
        let ban = round % 2 == 0;
        let reply = if ban { group.ban(&ana, &cleo).await } else { group.kick(&ana, &cleo).await };
        let (send, read) = join(cleo.try_send(&group.topic, json!("late")), cleo.get(&messages_of(&group.topic))).await;
        reply.expect(204);
        assert_eq!((send.refused(404), read.refused(404)), ("not_found".to_owned(), "not_found".to_owned()));
        until_seq(&ana, &group.topic, ana.last_seq(&group.topic).await + 5).await;
        stop.store(true, Ordering::Relaxed);
        join_all(others).await.into_iter().for_each(Result::unwrap);

        let history = ana.whole_history(&group.topic).await;
        assert_eq!(seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>());
        let end = history.iter().find(|message| message["code"] == if ban { 8 } else { 4 }).unwrap();
        let end = number(end, "seq");
        for send in sends {
            let (status, acknowledged) = send.await.unwrap();
            assert_eq!(status, 404);
            assert!(acknowledged.iter().all(|&seq| seq < end), "{acknowledged:?} after {end}");
        }
        assert!(history[usize::try_from(end).unwrap()..].iter().all(|message| message["sender"] == bea.user()));
        for read in reads {
            let (status, newest) = read.await.unwrap();
            assert_eq!(status, 404);
            assert!(newest <= end, "read {newest} though the membership ended with {end}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_acknowledgement_on_a_deleted_group_is_gone_for_all() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for _ in 0..20 {
        let group = Group::of(&ana, &[&bea, &cleo]).await;
        for session in [&ana, &bea, &cleo] {
            session.join(&group.topic).await;
        }
        let sends: Vec<_> =
            [&ana, &bea, &cleo, &cleo].iter().map(|sender| send_until_refused(sender, &group.topic)).collect();
        let reads = [read_until_refused(&bea, &group.topic), read_until_refused(&cleo, &group.topic)];
        until_seq(&ana, &group.topic, 12).await;
        group.delete(&ana).await.expect(204);
        for session in [&ana, &bea, &cleo] {
            session.try_send(&group.topic, json!("late")).await.refused(404);
            session.get(&messages_of(&group.topic)).await.refused(404);
            session.get(&format!("/v1/topics/{}", group.topic)).await.refused(404);
            session.try_join(&group.topic).await.refused(404);
            session.get(&group.path("")).await.refused(404);
        }
        for send in sends {
            assert_eq!(send.await.unwrap().0, 404);
        }
        for read in reads {
            assert_eq!(read.await.unwrap().0, 404);
        }
    }
}

/// Joins the group and its topic and reads there, again and again, until each of the three is refused.
fn insist(group: &Group, user: &Session, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (group, user, stop) = (group.clone(), user.clone(), stop.clone());
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let joined = group.join(&user).await;
            assert!([200, 403].contains(&joined.status), "{joined:?}");
            for reply in [user.try_join(&group.topic).await, user.get(&messages_of(&group.topic)).await] {
                assert!([200, 404].contains(&reply.status), "{reply:?}");
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_who_are_banned_at_once_are_all_out() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let users = app.sessions("user", 30).await;
    for _ in 0..3 {
        let group = Group::of(&ana, &users.iter().collect::<Vec<_>>()).await;
        let stop = Arc::new(AtomicBool::new(false));
        let insisting: Vec<_> = users.iter().map(|user| insist(&group, user, &stop)).collect();
        let banned = async |user: &Session| {
            group.ban(&ana, user).await.expect(204);
            assert_eq!(group.join(user).await.refused(403), "banned");
            user.try_join(&group.topic).await.refused(404);
            user.get(&messages_of(&group.topic)).await.refused(404);
            user.try_send(&group.topic, json!("late")).await.refused(404);
        };
        join_all(users.iter().map(banned)).await;
        stop.store(true, Ordering::Relaxed);
        join_all(insisting).await.into_iter().for_each(Result::unwrap);
        assert_eq!(group.ids(&ana, "member").await, [ana.user_id.clone()]);
        assert_eq!(group.ids(&ana, "banned").await.len(), 30);
        assert_eq!(group.read(&ana).await["member_count"], 1);
        assert_eq!(ana.present(&group.topic).await, Vec::<String>::new());
        let mut codes = group.codes(&ana).await;
        codes.sort_unstable();
        assert_eq!(codes, [[1; 30], [8; 30]].concat());
        for user in &users {
            assert_eq!(user.get("/v1/session/topics").await.expect(200)["topics"], json!([]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_full_speed_a_kicked_listener_gets_all_up_to_the_kick_and_the_others_get_all() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    for session in [&ana, &bea, &cleo] {
        session.join(ROOM).await;
    }
    let (mut watch, mut stream) = (bea.stream().await, cleo.stream().await);
    for _ in 0..10 {
        let group = Group::of(&ana, &[&bea, &cleo]).await;
        for session in [&ana, &bea, &cleo] {
            assert_eq!(session.join(&group.topic).await["position"], 2);
        }
        let mut tally = Tally::default();
        tally.starts(&group.topic, 2);
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = [&ana, &ana, &bea].iter().map(|from| keep_sending(from, &group.topic, &stop)).collect();
        let moving = async {
            until_seq(&ana, &group.topic, 30).await;
            group.kick(&ana, &cleo).await.expect(204);
            ana.send_ephemeral(&group.topic, "not for the kicked").await;
            until_seq(&ana, &group.topic, ana.last_seq(&group.topic).await + 20).await;
            stop.store(true, Ordering::Relaxed);
            join_all(senders).await.into_iter().for_each(Result::unwrap);
            ana.last_seq(&group.topic).await
        };
        let ((told, reason), last) = join(until_left(&mut stream, &group.topic), moving).await;
        let kick = told.last().unwrap();
        assert_eq!((&*reason, &kick["code"]), ("kicked", &json!(4)));
        assert_eq!(seqs(&told), (3..=number(kick, "seq")).collect::<Vec<_>>());
        silent(&mut stream, &group.topic, &ana, ROOM).await;

        let mut kicks = 0;
        while tally.position(&group.topic) < last {
            let event = watch.next().await;
            // An ephemeral message has no id and no fixed place among the others.
            if event.data["topic"] == group.topic && event.id.is_some() && tally.take(&event) && event.data["code"] == 4
            {
                assert_eq!(event.data, *kick);
                kicks += 1;
            }
        }
        assert_eq!(kicks, 1);
        group.delete(&ana).await.expect(204);
        assert_eq!(until_left(&mut watch, &group.topic).await.1, "group_deleted");
    }
}

/// Makes a group of Ana with Bea. Bea's stream is not read while this many long messages are sent.
async fn lagging(ana: &Session, bea: &Session, messages: u64) -> (Group, RawStream) {
    let group = Group::of(ana, &[bea]).await;
    for session in [ana, bea] {
        session.join(ROOM).await;
        session.join(&group.topic).await;
    }
    let stream = RawStream::open(bea, Some(4_096), None).await;
    let content = json!("x".repeat(15_000));
    join_all((0..8).map(|_| async {
        for _ in 0..messages / 8 {
            ana.send(&group.topic, content.clone()).await;
        }
    }))
    .await;
    (group, stream)
}

/// Reads up to this message. Returns the events as (kind, data), without the room's presence.
async fn read_up_to(stream: &mut RawStream, last: &Value) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    loop {
        let frame = stream.next(DEADLINE).await.expect("the stream stays open");
        let data: Value = serde_json::from_str(&frame.data).unwrap();
        if data["id"] == last["id"] && frame.event == "message" {
            return events;
        }
        events.push((frame.event, data));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lags_gets_all_up_to_its_kick_and_nothing_after() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (group, mut stream) = lagging(&ana, &bea, 200).await;
    group.kick(&ana, &bea).await.expect(204);
    ana.send_numbers(&group.topic, 1..=300).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|(kind, _)| kind != "left") {
        let frame = stream.next(DEADLINE).await.expect("the stream stays open");
        events.push((frame.event, serde_json::from_str::<Value>(&frame.data).unwrap()));
    }
    assert_eq!(events.pop().unwrap().1, json!({"topic": group.topic, "reason": "kicked"}));
    events.retain(|(kind, _)| kind == "message" || kind == "gap");
    let told: Vec<u64> = events.iter().map(|(_, data)| number(data, "seq")).collect();
    assert_eq!(told, (2..=202).collect::<Vec<_>>(), "all of it, the kick included");
    assert_eq!(events.last().unwrap().1["code"], 4);
    let next = ana.send(ROOM, json!("the next one")).await;
    let more = read_up_to(&mut stream, &next).await;
    assert!(more.iter().all(|(_, data)| data["topic"] == ROOM), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lags_never_shows_what_was_sent_between_its_kick_and_its_return() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (group, mut stream) = lagging(&ana, &bea, 200).await;
    group.kick(&ana, &bea).await.expect(204);
    ana.send_numbers(&group.topic, 1..=5).await;
    group.add(&ana, &bea).await.expect(200);
    let position = number(&bea.join(&group.topic).await, "position");
    assert_eq!(position, 202 + 5 + 1);
    ana.send_numbers(&group.topic, 1..=5).await;
    let last = ana.send(&group.topic, json!("the last one")).await;
    let mut events = read_up_to(&mut stream, &last).await;
    // Events of the time before may come between the messages of the room.
    for number in 0..40 {
        let next = ana.send(ROOM, json!(number)).await;
        events.extend(read_up_to(&mut stream, &next).await);
    }
    let told: Vec<u64> = events
        .iter()
        .filter(|(kind, data)| kind == "message" && data["topic"] == group.topic)
        .map(|(_, data)| number(data, "seq"))
        .collect();
    assert!(told.is_sorted_by(|one, next| one < next), "each once and in order: {told:?}");
    assert!(told.iter().all(|&seq| seq <= 202 || seq > position), "nothing from in between: {told:?}");
    assert_eq!(told.iter().filter(|seq| **seq > position).count(), 5, "all since the return: {told:?}");
    assert!(events.iter().all(|(kind, _)| kind != "gap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_leaves_and_returns_gets_all_of_each_stay() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    let group = Group::of(&ana, &[]).await;
    ana.join(&group.topic).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sender = keep_sending(&ana, &group.topic, &stop);
    let mut stream = bea.stream().await;
    for round in 0..20 {
        group.make(&ana, &bea, "member").await;
        let position = number(&bea.join(&group.topic).await, "position");
        if round % 2 == 0 {
            until_seq(&bea, &group.topic, position + 3).await;
        }
        let reply = if round % 3 == 0 { group.leave(&bea).await } else { group.kick(&ana, &bea).await };
        reply.expect(204);
        let (told, reason) = until_left(&mut stream, &group.topic).await;
        assert_eq!(reason, if round % 3 == 0 { "left" } else { "kicked" });
        let end = told.last().unwrap();
        assert_eq!(seqs(&told), (position + 1..=number(end, "seq")).collect::<Vec<_>>());
        assert_eq!(text(&end["content"]["user"], "user_id"), bea.user_id);
    }
    stop.store(true, Ordering::Relaxed);
    sender.await.unwrap();
}
