//! The groups in a member's inbox: listed from their creation on, as long as the user is a member.

use serde_json::{Value, json};

use crate::support::{Group, Session, TestApp, members, number, text};

/// Makes a group of this session. Returns its id and its topic.
async fn found(session: &Session, body: &Value) -> (String, String) {
    let group = session.post("/v1/groups", body).await.expect(201);
    (text(&group, "id").to_owned(), text(&group, "topic").to_owned())
}

async fn enter(session: &Session, group: &str) -> Value {
    session.post(&format!("/v1/groups/{group}/join"), &json!({})).await.expect(200)
}

async fn listed(session: &Session) -> Vec<String> {
    let (topics, next) = session.inbox("limit=100").await;
    assert_eq!(next, None);
    topics.iter().map(|topic| text(topic, "topic").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_listed_for_its_members_before_anybody_has_said_anything() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (_, topic) = found(&ana, &json!({"name": "Book club"})).await;
    let (topics, _) = ana.inbox("").await;
    let expected = json!([{"topic": topic, "type": "group", "name": "Book club", "last_seq": 0, "last_message": null,
                           "read_seq": 0, "unread": 0}]);
    assert_eq!(Value::from(topics), expected);
    assert_eq!(listed(&bea).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_have_it_listed_with_what_they_have_to_read() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (group, topic) = found(&ana, &json!({"name": "Book club"})).await;
    enter(&bea, &group).await;
    let start = ana.last_seq(&topic).await;
    for session in [&ana, &bea] {
        session.mark_read(&topic, start).await;
    }
    ana.join(&topic).await;
    let sent = ana.send(&topic, json!("hi")).await;
    let entry = async |session: &Session| session.inbox("").await.0[0].clone();
    let (own, other) = (entry(&ana).await, entry(&bea).await);
    let shape = ["last_message", "last_seq", "name", "read_seq", "topic", "type", "unread"];
    assert_eq!((members(&own), members(&other)), (shape.to_vec(), shape.to_vec()));
    assert_eq!((&own["last_message"], &other["last_message"]), (&sent, &sent));
    assert_eq!((number(&own, "unread"), number(&other, "unread")), (0, 1));
    assert_eq!(bea.mark_read(&topic, start + 1).await["unread"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_join_has_left_or_is_banned_has_it_not_listed() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (closed, _) = found(&ana, &json!({"name": "Closed", "open": false})).await;
    assert_eq!(enter(&bea, &closed).await["state"], "requested");
    assert_eq!(listed(&bea).await, Vec::<String>::new());
    let (open, topic) = found(&ana, &json!({"name": "Open"})).await;
    enter(&bea, &open).await;
    assert_eq!(listed(&bea).await, [topic.clone()]);
    bea.post(&format!("/v1/groups/{open}/leave"), &json!({})).await;
    assert_eq!(listed(&bea).await, Vec::<String>::new());
    assert_eq!(bea.try_mark_read(&topic, &json!({"seq": 1})).await.refused(404), "not_found");
    enter(&bea, &open).await;
    assert_eq!(listed(&bea).await, [topic]);
    ana.post(&format!("/v1/groups/{open}/members/{}/ban", bea.user_id), &json!({})).await;
    assert_eq!(listed(&bea).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_dms_stand_in_one_order_and_are_paged_as_one_list() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let mut expected = Vec::new();
    for number in 0..12 {
        expected.push(found(&ana, &json!({"name": format!("Group {number}")})).await.1);
    }
    let dm = text(&ana.join(&ana.dm(&bea)).await["topic"], "id").to_owned();
    ana.send(&dm, json!("hi")).await;
    expected.push(dm);
    // The oldest group moves up.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let first = expected.remove(0);
    ana.join(&first).await;
    ana.send(&first, json!("hi")).await;
    expected.push(first);
    expected.reverse();
    let (mut seen, mut query) = (Vec::new(), "limit=5".to_owned());
    loop {
        let (page, next) = ana.inbox(&query).await;
        assert!(seen.len() < 100, "the pages do not come to an end: {seen:?}");
        seen.extend(page.iter().map(|topic| text(topic, "topic").to_owned()));
        let Some(next) = next else { break };
        query = format!("limit=5&cursor={next}");
    }
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_admin_does_without_a_word_marks_nothing_as_read() {
    let app = TestApp::start().await;
    let (ana, bea, carl) = (app.session("ana").await, app.session("bea").await, app.session("carl").await);
    let group = Group::closed(&ana).await;
    group.make(&ana, &bea, "member").await;
    bea.join(&group.topic).await;
    let silent = async || {
        group.make(&ana, &carl, "requested").await;
        group.kick(&ana, &carl).await.expect(204);
        group.ban(&ana, &carl).await.expect(204);
        group.unban(&ana, &carl).await.expect(204);
    };
    for round in 0..2 {
        let sent = bea.send(&group.topic, json!(round)).await;
        silent().await;
        let (topics, _) = ana.inbox("").await;
        assert_eq!((number(&topics[0], "unread"), number(&topics[0], "last_seq")), (1, number(&sent, "seq")));
        ana.mark_read(&group.topic, number(&sent, "seq")).await;
    }
}
