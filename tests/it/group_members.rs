//! Membership: joining, requesting, leaving, being accepted, kicked and banned, and the entry that each writes.

use serde_json::{Value, json};

use crate::support::{Group, Session, TestApp, announced, entry, members, messages_of, role_entry, text, whole_list};

/// A member's item in the lists, without its time.
fn line(user: &Session, state: &str, role: Option<&str>) -> Value {
    let mut line = json!({"user": user.user(), "state": state});
    if let Some(role) = role {
        line["role"] = role.into();
    }
    line
}

/// Removes `since` from a member's item; it must be a time.
fn timeless(mut line: Value) -> Value {
    let since = line.as_object_mut().unwrap().remove("since").expect("a member has a since");
    let since = since.as_str().unwrap();
    assert!(since.len() == 24 && since.ends_with('Z') && since.parse::<jiff::Timestamp>().is_ok(), "{since}");
    line
}

async fn lines(group: &Group, by: &Session, state: &str) -> Vec<Value> {
    group.everyone(by, state).await.into_iter().map(timeless).collect()
}

/// Ana, the owner of the groups that follow, Bea, and Cleo.
async fn three() -> (TestApp, Session, Session, Session) {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    (app, ana, bea, cleo)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_group_is_joined_at_once_and_once() {
    let (_app, ana, bea, _) = three().await;
    let group = Group::of(&ana, &[]).await;
    for _ in 0..3 {
        assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}));
        assert_eq!(group.log(&ana).await, [entry(1, &bea, &bea)], "a repeat writes nothing");
    }
    assert_eq!(group.join(&ana).await.expect(200), json!({"state": "member", "role": "superadmin"}));
    assert_eq!(group.read(&ana).await["member_count"], 2);
    assert_eq!(group.codes(&ana).await, [1]);
    let expected = [line(&ana, "member", Some("superadmin")), line(&bea, "member", Some("member"))];
    assert_eq!(lines(&group, &bea, "member").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_group_is_asked_and_its_admins_accept() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::closed(&ana).await;
    group.make(&ana, &cleo, "admin").await;
    for _ in 0..2 {
        assert_eq!(group.join(&bea).await.expect(200), json!({"state": "requested"}));
        assert_eq!(group.standing(&bea).await, "requested");
    }
    assert_eq!(lines(&group, &cleo, "requested").await, [line(&bea, "requested", None)]);
    assert_eq!(group.read(&ana).await["member_count"], 2, "who asks is no member");
    assert_eq!(group.codes(&ana).await, [2, 5], "a request writes nothing");

    let accepted = group.add(&cleo, &bea).await.expect(200);
    assert_eq!(members(&accepted), ["role", "since", "state", "user"]);
    assert_eq!(timeless(accepted.clone()), line(&bea, "member", Some("member")));
    assert_eq!(group.everyone(&ana, "requested").await, Vec::<Value>::new());
    assert_eq!(group.log(&ana).await[2], entry(2, &bea, &cleo));
    assert_eq!(group.add(&ana, &bea).await.expect(200), accepted, "who is a member stays as they are");
    assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}));
    assert_eq!(timeless(group.add(&cleo, &cleo).await.expect(200)), line(&cleo, "member", Some("admin")));
    assert_eq!(group.codes(&ana).await, [2, 5, 2]);
    assert_eq!(group.read(&ana).await["member_count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_added_without_having_asked() {
    let (_app, ana, bea, cleo) = three().await;
    for group in [Group::closed(&ana).await, Group::of(&ana, &[]).await] {
        assert_eq!(timeless(group.add(&ana, &bea).await.expect(200)), line(&bea, "member", Some("member")));
        assert_eq!(group.standing(&bea).await, "member");
        assert_eq!(group.log(&bea).await, [entry(2, &bea, &ana)]);
        let nobody = group.path("/members/nobody");
        assert_eq!(ana.put(&nobody, &json!({})).await.refused(404), "not_found");
        group.promote(&ana, &bea).await.expect(200);
        assert_eq!(group.add(&bea, &cleo).await.expect(200)["role"], "member");
        assert_eq!(group.log(&cleo).await[2], entry(2, &cleo, &bea));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_withdrawn_or_declined_without_a_word() {
    let (_app, ana, bea, _) = three().await;
    let group = Group::closed(&ana).await;
    for _ in 0..2 {
        group.make(&ana, &bea, "requested").await;
        group.leave(&bea).await.expect(204);
        assert_eq!(group.standing(&bea).await, "stranger");
        group.leave(&bea).await.expect(204);
        group.make(&ana, &bea, "requested").await;
        group.kick(&ana, &bea).await.expect(204);
        assert_eq!(group.standing(&bea).await, "stranger");
        group.kick(&ana, &bea).await.expect(204);
        assert_eq!(group.everyone(&ana, "requested").await, Vec::<Value>::new());
    }
    assert_eq!(group.log(&ana).await, Vec::<Value>::new());
    assert_eq!(group.read(&ana).await["member_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_joins_a_group_that_was_opened_meanwhile_and_stays_when_it_closes() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::closed(&ana).await;
    for user in [&bea, &cleo] {
        group.make(&ana, user, "requested").await;
    }
    group.patch(&ana, &json!({"open": true})).await.expect(200);
    assert_eq!(group.standing(&bea).await, "requested", "opening lets nobody in by itself");
    assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}));
    assert_eq!(group.log(&ana).await, [entry(1, &bea, &bea)]);
    group.patch(&ana, &json!({"open": false})).await.expect(200);
    assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}));
    assert_eq!(group.join(&cleo).await.expect(200), json!({"state": "requested"}));
    assert_eq!(group.ids(&bea, "member").await.len(), 2);
    assert_eq!(group.codes(&ana).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_writes_one_entry_and_strangers_leave_nothing() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::of(&ana, &[&bea]).await;
    for user in [&bea, &bea, &cleo] {
        group.leave(user).await.expect(204);
        assert_eq!(group.log(&ana).await, [entry(1, &bea, &bea), entry(3, &bea, &bea)]);
    }
    assert_eq!(group.standing(&bea).await, "stranger");
    assert_eq!(group.read(&ana).await["member_count"], 1);
    group.join(&bea).await.expect(200);
    assert_eq!(group.codes(&bea).await, [1, 3, 1], "and the whole history is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_superadmin_leaves_last_and_takes_the_group_along() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::closed(&ana).await;
    group.make(&ana, &bea, "admin").await;
    assert_eq!(group.leave(&ana).await.refused(409), "last_superadmin");
    assert_eq!(group.standing(&ana).await, "superadmin");
    group.promote(&ana, &bea).await.expect(200);
    group.leave(&ana).await.expect(204);
    assert_eq!(group.log(&bea).await[3], entry(3, &ana, &ana));

    // Neither a requester nor a banned user is a member, so Bea is the only one.
    group.make(&bea, &ana, "requested").await;
    group.make(&bea, &cleo, "banned").await;
    group.leave(&bea).await.expect(204);
    for session in [&ana, &bea, &cleo] {
        assert_eq!(session.get(&group.path("")).await.refused(404), "not_found");
        assert_eq!(whole_list(session, "/v1/me/groups", "groups", 10).await, Vec::<Value>::new());
        assert_eq!(whole_list(session, "/v1/me/groups?state=requested", "groups", 10).await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_group_takes_nobody_but_takes_requests() {
    let (app, ana, bea, cleo) = three().await;
    let dora = app.session("dora").await;
    let group = Group::create(&ana, &json!({"name": "two", "max_members": 2})).await;
    group.make(&ana, &dora, "banned").await;
    group.join(&bea).await.expect(200);
    assert_eq!(group.join(&cleo).await.refused(409), "group_full");
    assert_eq!(group.add(&ana, &cleo).await.refused(409), "group_full");
    assert_eq!(group.join(&dora).await.refused(403), "banned");
    for _ in 0..2 {
        group.join(&bea).await.expect(200);
        group.add(&ana, &bea).await.expect(200);
    }
    group.patch(&ana, &json!({"open": false})).await.expect(200);
    assert_eq!(group.join(&cleo).await.expect(200), json!({"state": "requested"}));
    assert_eq!(group.add(&ana, &cleo).await.refused(409), "group_full");
    assert_eq!(group.standing(&cleo).await, "requested");
    group.patch(&ana, &json!({"open": true})).await.expect(200);
    assert_eq!(group.join(&cleo).await.refused(409), "group_full");
    assert_eq!(group.codes(&ana).await, [1]);

    group.leave(&bea).await.expect(204);
    group.add(&ana, &cleo).await.expect(200);
    assert_eq!(group.join(&bea).await.refused(409), "group_full");
    group.patch(&ana, &json!({"max_members": 3})).await.expect(200);
    group.join(&bea).await.expect(200);
    group.kick(&ana, &cleo).await.expect(204);
    group.ban(&ana, &bea).await.expect(204);
    assert_eq!(group.read(&ana).await["member_count"], 1);
    assert_eq!(group.codes(&ana).await, [1, 3, 2, 1, 4, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_keeps_a_member_out_until_it_is_lifted() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::of(&ana, &[&cleo, &bea]).await;
    group.promote(&ana, &cleo).await.expect(200);
    for _ in 0..2 {
        group.ban(&cleo, &bea).await.expect(204);
        group.leave(&bea).await.expect(204);
        group.kick(&ana, &bea).await.expect(204);
        assert_eq!(group.standing(&bea).await, "banned", "neither leaving nor a kick lifts a ban");
        assert_eq!(group.join(&bea).await.refused(403), "banned");
        assert_eq!(group.add(&ana, &bea).await.refused(409), "user_banned");
        assert_eq!(group.promote(&ana, &bea).await.refused(404), "not_found");
        assert_eq!(lines(&group, &ana, "banned").await, [line(&bea, "banned", None)]);
        assert_eq!(group.read(&ana).await["member_count"], 2);
    }
    assert_eq!(group.log(&ana).await[3..], [entry(8, &bea, &cleo)]);
    for _ in 0..2 {
        group.unban(&cleo, &bea).await.expect(204);
        assert_eq!(group.standing(&bea).await, "stranger");
    }
    group.unban(&ana, &cleo).await.expect(204);
    assert_eq!(group.standing(&cleo).await, "admin", "only a ban is lifted");
    assert_eq!(group.codes(&ana).await, [1, 1, 5, 8], "lifting writes nothing");
    assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn applicants_and_strangers_are_banned_without_an_entry() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::closed(&ana).await;
    group.make(&ana, &bea, "requested").await;
    for user in [&bea, &cleo] {
        group.ban(&ana, user).await.expect(204);
        assert_eq!(group.join(user).await.refused(403), "banned");
    }
    assert_eq!(group.everyone(&ana, "requested").await, Vec::<Value>::new());
    assert_eq!(group.everyone(&ana, "banned").await.len(), 2);
    assert_eq!(ana.post(&group.path("/members/nobody/ban"), &json!({})).await.refused(404), "not_found");
    assert_eq!(group.log(&ana).await, Vec::<Value>::new());
    group.unban(&ana, &bea).await.expect(204);
    assert_eq!(group.standing(&bea).await, "stranger", "the request is gone");
    group.make(&ana, &bea, "requested").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_go_up_and_down_one_by_one_and_say_so() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::of(&ana, &[&bea, &cleo]).await;
    for (act, role) in [("promote", "admin"), ("promote", "superadmin"), ("demote", "admin"), ("demote", "member")] {
        let up = act == "promote";
        let reply = if up { group.promote(&ana, &bea).await } else { group.demote(&ana, &bea).await };
        let changed = reply.expect(200);
        assert_eq!(members(&changed), ["role", "since", "state", "user"]);
        assert_eq!(timeless(changed.clone()), line(&bea, "member", Some(role)));
        assert_eq!(group.standing(&bea).await, role);
        let log = group.log(&bea).await;
        assert_eq!(log.last(), Some(&role_entry(if up { 5 } else { 9 }, &bea, &ana, role)));
        let listed = group.everyone(&ana, "member").await;
        assert!(listed.contains(&changed), "the answer is the list's line: {changed} in {listed:?}");
    }
    assert_eq!(group.demote(&ana, &bea).await.refused(409), "no_further_role");
    assert_eq!(group.promote(&ana, &ana).await.refused(409), "no_further_role");
    group.promote(&ana, &bea).await.expect(200);
    group.promote(&bea, &cleo).await.expect(200);
    group.demote(&bea, &cleo).await.expect(200);
    let log = group.log(&cleo).await;
    assert_eq!(log[7..], [role_entry(5, &cleo, &bea, "admin"), role_entry(9, &cleo, &bea, "member")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_gone_with_the_membership() {
    let (_app, ana, bea, _) = three().await;
    let group = Group::of(&ana, &[]).await;
    for way in ["leave", "kick", "ban"] {
        group.make(&ana, &bea, "superadmin").await;
        match way {
            "leave" => group.leave(&bea).await.expect(204),
            "kick" => group.kick(&ana, &bea).await.expect(204),
            _ => group.ban(&ana, &bea).await.expect(204),
        };
        assert_eq!(group.patch(&bea, &json!({"name": "mine"})).await.refused(403), "forbidden");
        group.unban(&ana, &bea).await.expect(204);
        assert_eq!(group.join(&bea).await.expect(200), json!({"state": "member", "role": "member"}), "after a {way}");
        group.leave(&bea).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_by_role_then_by_id_in_pages() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let group = Group::closed(&ana).await;
    let mut expected = vec![(0, ana.user_id.clone())];
    for (number, user) in app.sessions("user", 9).await.iter().enumerate() {
        let (rank, role) = [(2, "member"), (0, "superadmin"), (1, "admin")][number % 3];
        group.make(&ana, user, role).await;
        expected.push((rank, user.user_id.clone()));
    }
    expected.sort();
    let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(group.ids(&ana, "member").await, expected);
    for limit in [1, 2, 3, 4, 7, 10, 100] {
        let listed = whole_list(&ana, &group.path("/members"), "members", limit).await;
        let ids: Vec<&str> = listed.iter().map(|member| text(&member["user"], "user_id")).collect();
        assert_eq!(ids, expected, "in pages of {limit}");
    }
    for state in ["requested", "banned"] {
        let mut expected = Vec::new();
        for user in app.sessions(state, 5).await {
            group.make(&ana, &user, state).await;
            expected.push(user.user_id);
        }
        expected.sort();
        let listed = whole_list(&ana, &group.path(&format!("/members?state={state}")), "members", 2).await;
        let ids: Vec<&str> = listed.iter().map(|member| text(&member["user"], "user_id")).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_are_entries_like_any_other() {
    let (_app, ana, bea, cleo) = three().await;
    let group = Group::of(&ana, &[]).await;
    ana.join(&group.topic).await;
    let mut stream = ana.stream().await;
    stream.ready().await;
    group.join(&bea).await.expect(200);
    ana.send(&group.topic, json!("welcome")).await;
    group.add(&ana, &cleo).await.expect(200);
    group.promote(&ana, &cleo).await.expect(200);
    bea.patch("/v1/me", &json!({"username": "Beatrice"})).await.expect(200);
    group.demote(&ana, &cleo).await.expect(200);
    group.kick(&ana, &cleo).await.expect(204);
    group.leave(&bea).await.expect(204);
    group.join(&bea).await.expect(200);
    group.ban(&ana, &bea).await.expect(204);
    let told = stream.messages(9).await;
    assert_eq!(told, ana.whole_history(&group.topic).await, "the stream and history show the same objects");
    for (seq, message) in (1..).zip(&told) {
        assert_eq!(members(message), ["code", "content", "created_at", "id", "sender", "seq", "topic"]);
        assert_eq!((&message["seq"], &message["topic"]), (&json!(seq), &json!(group.topic)));
        let path = format!("/v1/topics/{}/messages/{}", group.topic, text(message, "id"));
        assert_eq!(ana.get(&path).await.expect(200), *message);
    }
    let renamed = Session { username: "Beatrice".to_owned(), ..bea.clone() };
    let expected = [
        entry(1, &bea, &bea),
        json!({"code": 0, "sender": ana.user(), "content": "welcome"}),
        entry(2, &cleo, &ana),
        role_entry(5, &cleo, &ana, "admin"),
        role_entry(9, &cleo, &ana, "member"),
        entry(4, &cleo, &ana),
        entry(3, &renamed, &renamed),
        entry(1, &renamed, &renamed),
        entry(8, &renamed, &ana),
    ];
    assert_eq!(told.iter().map(announced).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_make_no_announcements() {
    let (_app, ana, bea, _) = three().await;
    let group = Group::of(&ana, &[&bea]).await;
    ana.join(&group.topic).await;
    let content = entry(4, &bea, &ana)["content"].clone();
    for code in [0, 1, 4, 8] {
        let body = json!({"content": content, "code": code});
        assert_eq!(ana.post(&messages_of(&group.topic), &body).await.refused(422), "invalid");
    }
    assert_eq!(ana.send(&group.topic, content).await["code"], 0, "it is what it is sent as");
    assert_eq!(group.standing(&bea).await, "member");
}
