//! Edits and removals in groups: admins remove any message, nobody edits another user's message, and a user who loses
//! the group can change no message there.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{Reply, Session, TestApp, encode, number, text};

struct Group {
    id: String,
    topic: String,
}

impl Group {
    /// A group of `owner` with these members; all have joined its topic and have a stream.
    async fn of(owner: &Session, members: &[&Session]) -> Self {
        let group = owner.post("/v1/groups", &json!({"name": "a group"})).await.expect(201);
        let group = Self { id: text(&group, "id").to_owned(), topic: text(&group, "topic").to_owned() };
        owner.join(&group.topic).await;
        for member in members {
            member.post(&group.path("/join"), &json!({})).await.expect(200);
            member.join(&group.topic).await;
        }
        group
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/groups/{}{rest}", self.id)
    }

    fn member(&self, user: &Session, rest: &str) -> String {
        self.path(&format!("/members/{}{rest}", encode(&user.user_id)))
    }

    async fn promote(&self, by: &Session, user: &Session) {
        by.post(&self.member(user, "/promote"), &json!({})).await.expect(200);
    }
}

/// Returns the content of a removal's entry, the last of the log.
async fn last_removal(session: &Session, topic: &str) -> (Value, Value) {
    let mut page = session.history(topic, "limit=1&changes=true").await;
    let entry = page.messages.remove(0);
    assert_eq!(entry["code"], 7, "{entry}");
    (entry["sender"].clone(), entry["content"].clone())
}

fn forbidden(reply: &Reply) {
    assert_eq!(reply.refused(403), "forbidden");
}

fn hidden(reply: &Reply) {
    assert_eq!(reply.refused(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_remove_what_anybody_has_sent_and_members_only_their_own() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let group = Group::of(&ana, &[&bea, &cleo]).await;
    group.promote(&ana, &bea).await;
    // The superadmin, an admin, and a member.
    let all = [&ana, &bea, &cleo];
    for author in all {
        for remover in all {
            let sent = author.send(&group.topic, json!("said")).await;
            let may = author.user_id == remover.user_id || remover.user_id != cleo.user_id;
            let removed = remover.try_remove(&sent).await;
            if !may {
                forbidden(&removed);
                assert_eq!(cleo.read(&sent).await, sent, "what is refused changes nothing");
                continue;
            }
            removed.expect(204);
            assert_eq!(cleo.read(&sent).await["content"], Value::Null);
            let expected = json!({"message_id": sent["id"], "seq": sent["seq"]});
            assert_eq!(last_removal(&cleo, &group.topic).await, (remover.user(), expected), "of whoever did it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_edits_what_others_have_sent() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let group = Group::of(&ana, &[&bea]).await;
    let sent = bea.send(&group.topic, json!("hers")).await;
    forbidden(&ana.try_edit(&sent, json!("mine")).await);
    assert_eq!(bea.edit(&sent, json!("still hers")).await["content"], "still hers");
    ana.remove(&sent).await;
    assert_eq!(bea.try_edit(&sent, json!("again")).await.refused(409), "message_removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_group_itself_has_announced_stays() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let group = Group::of(&ana, &[&bea]).await;
    group.promote(&ana, &bea).await;
    let log = ana.whole_log(&group.topic).await;
    assert_eq!(log.iter().map(|entry| number(entry, "code")).collect::<Vec<_>>(), [1, 5]);
    for entry in &log {
        for session in [&ana, &bea] {
            forbidden(&session.try_edit(entry, json!("no")).await);
            forbidden(&session.try_remove(entry).await);
        }
    }
    assert_eq!(ana.whole_log(&group.topic).await, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_member_finds_no_message_not_even_their_own() {
    let app = TestApp::start().await;
    let (ana, stranger) = (app.session("ana").await, app.session("stranger").await);
    let members = app.sessions("member", 4).await;
    let group = Group::of(&ana, &members.iter().collect::<Vec<_>>()).await;
    let mut sent = Vec::new();
    for member in &members {
        sent.push(member.send(&group.topic, json!("said")).await);
    }
    let [gone, kicked, banned, last] = members.as_slice() else { panic!("four members") };
    gone.post(&group.path("/leave"), &json!({})).await.expect(204);
    ana.delete(&group.member(kicked, "")).await.expect(204);
    ana.post(&group.member(banned, "/ban"), &json!({})).await.expect(204);
    let end = ana.last_seq(&group.topic).await;
    for (session, message) in [(gone, &sent[0]), (kicked, &sent[1]), (banned, &sent[2]), (&stranger, &sent[3])] {
        hidden(&session.try_edit(message, json!("no")).await);
        hidden(&session.try_remove(message).await);
    }
    assert_eq!(ana.last_seq(&group.topic).await, end);
    ana.remove(&sent[1]).await;
    last.edit(&sent[3], json!("still here")).await;
    gone.post(&group.path("/join"), &json!({})).await.expect(200);
    assert_eq!(gone.edit(&sent[0], json!("back again")).await["content"], "back again");

    ana.delete(&group.path("")).await.expect(204);
    hidden(&last.try_edit(&sent[3], json!("no")).await);
    hidden(&last.try_remove(&sent[3]).await);
    hidden(&ana.try_remove(&sent[3]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_theirs_is_changed_once_a_kick_is_acknowledged() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for _ in 0..10 {
        let group = Group::of(&ana, &[&bea]).await;
        let sent = bea.send(&group.topic, json!("said")).await;
        let before = ana.last_seq(&group.topic).await;
        let editing = async {
            loop {
                let edited = bea.try_edit(&sent, json!("edited")).await;
                if edited.status != 200 {
                    return hidden(&edited);
                }
            }
        };
        let kicking = async {
            while ana.last_seq(&group.topic).await < before + 3 {}
            ana.delete(&group.member(&bea, "")).await.expect(204);
            ana.last_seq(&group.topic).await
        };
        let ((), end) = join(editing, kicking).await;
        let log = ana.whole_log(&group.topic).await;
        assert_eq!((log.len() as u64, &log.last().unwrap()["code"]), (end, &json!(4)), "the kick is the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_who_has_been_demoted_removes_nothing_of_others_any_more() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let group = Group::of(&ana, &[&bea]).await;
    for _ in 0..10 {
        group.promote(&ana, &bea).await;
        let mut sent = Vec::new();
        for _ in 0..20 {
            sent.push(ana.send(&group.topic, json!("said")).await);
        }
        let before = ana.last_seq(&group.topic).await;
        let removing = async {
            for message in sent.iter().cycle() {
                let removed = bea.try_remove(message).await;
                if removed.status != 204 {
                    return forbidden(&removed);
                }
            }
        };
        let demoting = async {
            while ana.last_seq(&group.topic).await < before + 3 {}
            ana.post(&group.member(&bea, "/demote"), &json!({})).await.expect(200);
            ana.last_seq(&group.topic).await
        };
        let ((), end) = join(removing, demoting).await;
        let log = ana.whole_log(&group.topic).await;
        assert_eq!((log.len() as u64, &log.last().unwrap()["code"]), (end, &json!(9)), "the demotion is the end");
    }
}
