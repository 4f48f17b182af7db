//! A group's topic exists only for its members. A user who leaves, is kicked or banned, or whose group is deleted,
//! loses it at once, on all streams and in all calls.

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Group, Session, TestApp, contents, encode, entry, list, messages_of, number, seqs, silent, text, until_left,
};

/// A topic that Bea keeps: it shows that she loses nothing else, and that no event of the lost topic follows.
const ROOM: &str = "room:next-door";

/// A way to lose a group, the reason in `left`, and the code of the entry.
const WAYS: [(&str, &str, Option<u64>); 4] = [
    ("leave", "left", Some(3)),
    ("kick", "kicked", Some(4)),
    ("ban", "banned", Some(8)),
    ("delete", "group_deleted", None),
];

async fn lose(way: &str, group: &Group, owner: &Session, user: &Session) {
    let reply = match way {
        "leave" => group.leave(user).await,
        "kick" => group.kick(owner, user).await,
        "ban" => group.ban(owner, user).await,
        _ => group.delete(owner).await,
    };
    reply.expect(204);
}

/// Ana and Bea, both in the room.
async fn ana_and_bea() -> (TestApp, Session, Session) {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for session in [&ana, &bea] {
        session.join(ROOM).await;
    }
    (app, ana, bea)
}

/// A group of Ana with the member Bea. Both have joined its topic; its only entry is that Bea joined.
async fn shared(ana: &Session, bea: &Session) -> Group {
    let group = Group::of(ana, &[bea]).await;
    for session in [ana, bea] {
        session.join(&group.topic).await;
    }
    group
}

/// Checks that every call on the topic is refused exactly as for a topic that does not exist.
async fn sees_nothing(session: &Session, topic: &str, message: &Value) {
    let unknown = Group::unknown().topic;
    let own = |topic: &str| format!("/v1/session/topics/{}", encode(topic));
    let one = |topic: &str| format!("{}/{}", messages_of(topic), text(message, "id"));
    let of = |topic: &str, rest: &str| format!("/v1/topics/{}{rest}", encode(topic));
    let calls = |topic: &str| {
        [
            (Method::PUT, own(topic), None),
            (Method::DELETE, own(topic), None),
            (Method::GET, of(topic, ""), None),
            (Method::GET, of(topic, "/presences"), None),
            (Method::GET, messages_of(topic), None),
            (Method::GET, format!("{}?direction=forward&at_seq=1", messages_of(topic)), None),
            (Method::GET, one(topic), None),
            (Method::POST, messages_of(topic), Some(json!({"content": 1}))),
            (Method::POST, messages_of(topic), Some(json!({"content": 1, "ephemeral": true}))),
            (Method::PATCH, one(topic), Some(json!({"content": 1}))),
            (Method::DELETE, one(topic), None),
            (Method::POST, of(topic, "/typing"), None),
            (Method::PUT, of(topic, "/read"), Some(json!({"seq": 1}))),
        ]
    };
    for ((method, path, body), (_, elsewhere, _)) in calls(topic).into_iter().zip(calls(&unknown)) {
        let call = async |path: &str| {
            let call = session.call(method.clone(), path);
            let reply = if let Some(body) = &body { call.json(body) } else { call }.send().await;
            reply.refused(404);
            reply.json()
        };
        let refused = call(&path).await;
        assert_eq!(refused, call(&elsewhere).await, "{method} {path}");
        assert_eq!(refused["code"], "not_found", "{method} {path}");
    }
    let joined = session.get("/v1/session/topics").await.expect(200);
    assert!(list(&joined, "topics").iter().all(|join| join["topic"]["id"] != *topic), "{joined}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_whoever_is_no_member_the_topic_does_not_exist() {
    let (app, ana, _) = ana_and_bea().await;
    for open in [true, false] {
        let group = Group::create(&ana, &json!({"name": "inside", "open": open})).await;
        ana.join(&group.topic).await;
        let message = ana.send(&group.topic, json!("among us")).await;
        for standing in ["stranger", "banned", "requested"] {
            let user = app.session(standing).await;
            if standing != "requested" || !open {
                group.make(&ana, &user, standing).await;
            }
            sees_nothing(&user, &group.topic, &message).await;
        }
        assert_eq!(ana.last_seq(&group.topic).await, 1);
        assert_eq!(ana.present(&group.topic).await, [ana.id.clone()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_its_members_it_is_a_topic_like_any_other() {
    let (_app, ana, bea) = ana_and_bea().await;
    let group = Group::create(&ana, &json!({"name": "Chess"})).await;
    let joined = ana.join(&group.topic).await;
    assert_eq!(joined["topic"], json!({"id": group.topic, "type": "group", "name": "Chess", "last_seq": 0}));
    group.join(&bea).await.expect(200);
    assert_eq!(bea.try_send(&group.topic, json!(1)).await.refused(409), "not_joined");
    assert_eq!(bea.whole_history(&group.topic).await.len(), 1, "history needs no join");
    assert_eq!(bea.present(&group.topic).await, [ana.id.clone()]);
    assert_eq!(bea.topic(&group.topic).await["name"], "Chess");
    let joined = bea.join(&group.topic).await;
    assert_eq!((&joined["position"], &joined["presence_count"]), (&json!(1), &json!(2)));
    let mut stream = ana.stream().await;
    let sent = bea.send(&group.topic, json!("e4")).await;
    assert_eq!(stream.messages(2).await[1], sent);
    bea.leave(&group.topic).await;
    assert_eq!(group.standing(&bea).await, "member", "leaving the topic leaves the group alone");
    assert_eq!(group.codes(&bea).await, [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_the_entry_that_says_so() {
    let (_app, ana, bea) = ana_and_bea().await;
    let mut stream = bea.stream().await;
    for (way, reason, code) in WAYS {
        let group = shared(&ana, &bea).await;
        let sent = ana.send_numbers(&group.topic, 1..=3).await;
        lose(way, &group, &ana, &bea).await;
        sees_nothing(&bea, &group.topic, &sent[0]).await;
        if code.is_some() {
            ana.send(&group.topic, json!("after you left")).await;
            ana.send_ephemeral(&group.topic, "and this").await;
        } else {
            sees_nothing(&ana, &group.topic, &sent[0]).await;
        }
        let (mut told, said) = until_left(&mut stream, &group.topic).await;
        assert_eq!(said, reason);
        if let Some(code) = code {
            let last = told.pop().unwrap();
            let by = if way == "leave" { &bea } else { &ana };
            assert_eq!((number(&last, "seq"), number(&last, "code")), (5, code), "{last}");
            assert_eq!(last["content"], entry(code, &bea, by)["content"]);
            assert_eq!(told, sent, "{way}");
        } else {
            assert!(sent.starts_with(&told), "a deletion writes nothing: {told:?}");
        }
        silent(&mut stream, &group.topic, &ana, ROOM).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_away_gets_left_only() {
    let (mut app, ana, _) = ana_and_bea().await;
    for restart in [false, true] {
        let bea = app.session("bea").await;
        bea.join(ROOM).await;
        let mut groups = Vec::new();
        for _ in WAYS {
            groups.push(shared(&ana, &bea).await);
        }
        let mut stream = bea.stream().await;
        stream.ready().await;
        let id = stream.cut();
        bea.until_streaming(false).await;
        for ((way, _, code), group) in WAYS.iter().zip(&groups) {
            ana.send(&group.topic, json!("unseen")).await;
            lose(way, group, &ana, &bea).await;
            if code.is_some() {
                ana.send(&group.topic, json!("after that")).await;
            }
        }
        if restart {
            app.restart().await;
        }
        let mut stream = bea.stream_from(&id).await;
        let ready = stream.ready().await;
        assert_eq!(ready["topics"].as_array().unwrap().len(), 1, "only the room is left: {ready}");
        let mut said = Vec::new();
        while said.len() < groups.len() {
            let event = stream.next().await;
            if event.event == "left" {
                said.push(event.data);
            } else {
                assert_eq!(event.data["topic"], ROOM, "{event:?}");
            }
        }
        for ((_, reason, _), group) in WAYS.iter().zip(&groups) {
            assert!(said.contains(&json!({"topic": group.topic, "reason": reason})), "{reason}: {said:?}");
            silent(&mut stream, &group.topic, &ana, ROOM).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_see_them_go() {
    let (app, ana, bea) = ana_and_bea().await;
    let cleo = app.session("cleo").await;
    let phone = app.session("bea").await;
    let mut watch = cleo.stream().await;
    watch.ready().await;
    for (way, _, code) in &WAYS[..3] {
        let group = shared(&ana, &bea).await;
        phone.join(&group.topic).await;
        group.join(&cleo).await.expect(200);
        cleo.join(&group.topic).await;
        assert_eq!(watch.next_of("presence_state").await.data["presence_count"], 4);
        lose(way, &group, &ana, &bea).await;
        let mut left = [ana.id.clone(), cleo.id.clone()];
        left.sort_unstable();
        assert_eq!(cleo.present(&group.topic).await, left, "gone at once after a {way}");
        let (mut gone, mut told) = (Vec::new(), Vec::new());
        while gone.len() < 2 || told.is_empty() {
            let event = watch.next().await;
            match event.event.as_str() {
                "message" => told.push(number(&event.data, "code")),
                "presence" => gone.extend(list(&event.data, "leaves").iter().map(|p| text(p, "session_id").to_owned())),
                _ => panic!("{event:?}"),
            }
        }
        gone.sort_unstable();
        let mut sessions = [bea.id.clone(), phone.id.clone()];
        sessions.sort_unstable();
        assert_eq!((gone.as_slice(), told.as_slice()), (sessions.as_slice(), [code.unwrap()].as_slice()));
        lose("delete", &group, &ana, &bea).await;
        assert_eq!(until_left(&mut watch, &group.topic).await.1, "group_deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_added_again_may_join_again_and_starts_after_that() {
    let (_app, ana, bea) = ana_and_bea().await;
    let mut stream = bea.stream().await;
    for (way, reason, code) in &WAYS[..3] {
        let group = shared(&ana, &bea).await;
        lose(way, &group, &ana, &bea).await;
        ana.send(&group.topic, json!("in between")).await;
        let (told, said) = until_left(&mut stream, &group.topic).await;
        assert_eq!((seqs(&told), &*said), (vec![2], *reason));
        group.unban(&ana, &bea).await.expect(204);
        group.add(&ana, &bea).await.expect(200);
        silent(&mut stream, &group.topic, &ana, ROOM).await;
        assert_eq!(bea.try_send(&group.topic, json!(1)).await.refused(409), "not_joined");
        assert_eq!(group.codes(&bea).await, [1, code.unwrap(), 0, 2], "history is whole again");
        assert_eq!(bea.join(&group.topic).await["position"], 4);
        bea.send(&group.topic, json!("back")).await;
        assert_eq!(seqs(&stream.messages(1).await), [5]);
        silent(&mut stream, "", &ana, ROOM).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_and_joined_anew_while_away_is_not_sent_as_left() {
    let (app, ana, _) = ana_and_bea().await;
    for (way, _, _) in &WAYS[..3] {
        let bea = app.session("bea").await;
        bea.join(ROOM).await;
        let group = shared(&ana, &bea).await;
        let mut stream = bea.stream().await;
        stream.ready().await;
        let id = stream.cut();
        ana.send(&group.topic, json!("unseen")).await;
        lose(way, &group, &ana, &bea).await;
        ana.send(&group.topic, json!("in between")).await;
        group.unban(&ana, &bea).await.expect(204);
        group.add(&ana, &bea).await.expect(200);
        assert_eq!(bea.join(&group.topic).await["position"], 5);
        ana.send(&group.topic, json!("after")).await;
        let mut stream = bea.stream_from(&id).await;
        let ready = stream.ready().await;
        let position = json!({"topic": group.topic, "position": 5});
        assert!(list(&ready, "topics").contains(&position), "{ready}");
        assert_eq!(contents(&stream.messages(1).await), [json!("after")]);
        silent(&mut stream, "", &ana, ROOM).await;
        bea.leave(&group.topic).await;
        assert_eq!(until_left(&mut stream, &group.topic).await.1, "left");
    }
}

/// Makes one poll. Returns its events without presence, and its `last_event_id`.
async fn poll(session: &Session, query: &str) -> (Vec<Value>, String) {
    let answer = session.poll(query).await.expect(200);
    let told = list(&answer, "events").iter().filter(|event| !text(event, "event").starts_with("presence"));
    (told.cloned().collect(), text(&answer, "last_event_id").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_get_it_as_streams_do() {
    let (_app, ana, bea) = ana_and_bea().await;
    for (way, reason, code) in WAYS {
        let (open, away) = (shared(&ana, &bea).await, shared(&ana, &bea).await);
        let mut next = poll(&bea, "wait=0").await.1;
        // A poll that ended for another event, such as presence, is not waiting when the user loses the group.
        loop {
            let (events, id) = poll(&bea, &format!("wait=1&last_event_id={next}")).await;
            next = id;
            if events.is_empty() {
                break;
            }
        }
        bea.until_streaming(false).await;
        let mut told: Vec<Value> = Vec::new();
        let polling = async {
            while told.last().is_none_or(|event| event["event"] != "left") {
                let (events, id) = poll(&bea, &format!("wait=20&last_event_id={next}")).await;
                told.extend(events.into_iter().filter(|event| event["data"]["topic"] == open.topic));
                next = id;
            }
        };
        join(polling, async {
            bea.until_streaming(true).await;
            lose(way, &open, &ana, &bea).await;
        })
        .await;
        let left = told.pop().unwrap();
        assert_eq!(left["data"], json!({"topic": open.topic, "reason": reason}));
        let codes: Vec<u64> = told.iter().map(|event| number(&event["data"], "code")).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{told:?}");

        bea.until_streaming(false).await;
        lose(way, &away, &ana, &bea).await;
        let (told, next) = poll(&bea, &format!("wait=5&last_event_id={next}")).await;
        assert_eq!(told.len(), 1, "who was away hears only the end: {told:?}");
        assert_eq!(told[0]["data"], json!({"topic": away.topic, "reason": reason}));
        let sent = ana.send(ROOM, json!("go on")).await;
        let (told, _) = poll(&bea, &format!("wait=5&last_event_id={next}")).await;
        assert_eq!(told.iter().map(|event| &event["data"]).collect::<Vec<_>>(), [&sent]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_user_lose_it_shown_hidden_or_not_joined() {
    let (app, ana, bea) = ana_and_bea().await;
    let (hidden, idle) = (app.session("bea").await, app.session("bea").await);
    hidden.join(ROOM).await;
    let mut streams = [bea.stream().await, hidden.stream().await];
    for (way, reason, code) in WAYS {
        let group = shared(&ana, &bea).await;
        hidden.join_hidden(&group.topic).await;
        let message = ana.send(&group.topic, json!("hello")).await;
        lose(way, &group, &ana, &idle).await;
        for session in [&bea, &hidden, &idle] {
            sees_nothing(session, &group.topic, &message).await;
        }
        for stream in &mut streams {
            let (told, said) = until_left(stream, &group.topic).await;
            assert_eq!(said, reason);
            assert!(code.is_none() || seqs(&told) == [2, 3], "{way}: {told:?}");
            silent(stream, &group.topic, &ana, ROOM).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_answers_nothing_to_who_has_lost_the_group() {
    let (_app, ana, bea) = ana_and_bea().await;
    for (way, ..) in WAYS {
        let group = shared(&ana, &bea).await;
        let body = json!({"content": "once"});
        let sent = bea.send_with(&group.topic, &body, "key").await.expect(201);
        assert_eq!(bea.send_with(&group.topic, &body, "key").await.expect(200), sent);
        lose(way, &group, &ana, &bea).await;
        assert_eq!(bea.send_with(&group.topic, &body, "key").await.refused(404), "not_found");
        assert_eq!(bea.send_with(&group.topic, &json!({"content": 2}), "key").await.refused(404), "not_found");
    }
}
