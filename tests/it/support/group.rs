//! A group and the acts on it: `group.kick(&ana, &bea)` reads "ana kicks bea". An act returns the whole reply, as a
//! test may expect a refusal.

use reqwest::Method;
use serde_json::{Value, json};

use super::{EventStream, Reply, Session, encode, list, number, text};

#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) topic: String,
}

impl Group {
    pub(crate) async fn create(owner: &Session, body: &Value) -> Self {
        let group = owner.post("/v1/groups", body).await.expect(201);
        Self { id: text(&group, "id").to_owned(), topic: text(&group, "topic").to_owned() }
    }

    pub(crate) async fn closed(owner: &Session) -> Self {
        Self::create(owner, &json!({"name": "a closed group", "open": false})).await
    }

    /// An open group that these users have joined: one entry each, from 1 on.
    pub(crate) async fn of(owner: &Session, members: &[&Session]) -> Self {
        let group = Self::create(owner, &json!({"name": "an open group"})).await;
        for member in members {
            group.join(member).await.expect(200);
        }
        group
    }

    /// A group that does not exist.
    pub(crate) fn unknown() -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        Self { topic: format!("group:{id}"), id }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/groups/{}{rest}", self.id)
    }

    fn member(&self, user: &Session, rest: &str) -> String {
        self.path(&format!("/members/{}{rest}", encode(&user.user_id)))
    }

    pub(crate) async fn join(&self, session: &Session) -> Reply {
        session.call(Method::POST, &self.path("/join")).send().await
    }

    pub(crate) async fn leave(&self, session: &Session) -> Reply {
        session.call(Method::POST, &self.path("/leave")).send().await
    }

    pub(crate) async fn add(&self, by: &Session, user: &Session) -> Reply {
        by.call(Method::PUT, &self.member(user, "")).send().await
    }

    pub(crate) async fn kick(&self, by: &Session, user: &Session) -> Reply {
        by.delete(&self.member(user, "")).await
    }

    pub(crate) async fn promote(&self, by: &Session, user: &Session) -> Reply {
        by.call(Method::POST, &self.member(user, "/promote")).send().await
    }

    pub(crate) async fn demote(&self, by: &Session, user: &Session) -> Reply {
        by.call(Method::POST, &self.member(user, "/demote")).send().await
    }

    pub(crate) async fn ban(&self, by: &Session, user: &Session) -> Reply {
        by.call(Method::POST, &self.member(user, "/ban")).send().await
    }

    pub(crate) async fn unban(&self, by: &Session, user: &Session) -> Reply {
        by.delete(&self.path(&format!("/bans/{}", encode(&user.user_id)))).await
    }

    pub(crate) async fn patch(&self, by: &Session, body: &Value) -> Reply {
        by.patch(&self.path(""), body).await
    }

    pub(crate) async fn delete(&self, by: &Session) -> Reply {
        by.delete(&self.path("")).await
    }

    /// Gives a stranger this standing: `superadmin`, `admin`, `member`, `requested` (in a closed group) or `banned`.
    pub(crate) async fn make(&self, owner: &Session, user: &Session, standing: &str) {
        match standing {
            "stranger" => {}
            "requested" => assert_eq!(self.join(user).await.expect(200), json!({"state": "requested"})),
            "banned" => assert_eq!(self.ban(owner, user).await.expect(204), Value::Null),
            _ => {
                let promotions = ["member", "admin", "superadmin"].iter().position(|role| *role == standing).unwrap();
                self.add(owner, user).await.expect(200);
                for _ in 0..promotions {
                    self.promote(owner, user).await.expect(200);
                }
            }
        }
    }

    /// The group as this session sees it.
    pub(crate) async fn read(&self, session: &Session) -> Value {
        session.get(&self.path("")).await.expect(200)
    }

    /// The standing of this session's user in the group: their role, `requested`, `banned` or `stranger`.
    pub(crate) async fn standing(&self, session: &Session) -> String {
        let group = self.read(session).await;
        let (state, role) = (group["state"].as_str(), group["role"].as_str());
        assert_eq!(state == Some("member"), role.is_some(), "members have a role, and only they: {group}");
        role.or(state).unwrap_or("stranger").to_owned()
    }

    /// The list of this state, as `by` sees it.
    pub(crate) async fn everyone(&self, by: &Session, state: &str) -> Vec<Value> {
        whole_list(by, &self.path(&format!("/members?state={state}")), "members", 100).await
    }

    /// The user ids of the list of this state, in its order.
    pub(crate) async fn ids(&self, by: &Session, state: &str) -> Vec<String> {
        let everyone = self.everyone(by, state).await;
        everyone.iter().map(|member| text(&member["user"], "user_id").to_owned()).collect()
    }

    /// The topic's entries so far, each as its code, sender and content; they are dense.
    pub(crate) async fn log(&self, by: &Session) -> Vec<Value> {
        let history = by.whole_history(&self.topic).await;
        assert_eq!(super::seqs(&history), (1..=history.len() as u64).collect::<Vec<_>>());
        history.iter().map(announced).collect()
    }

    /// The codes of the topic's entries so far.
    pub(crate) async fn codes(&self, by: &Session) -> Vec<u64> {
        self.log(by).await.iter().map(|entry| number(entry, "code")).collect()
    }
}

/// The announcement that an entry makes: its code, sender and content.
pub(crate) fn announced(message: &Value) -> Value {
    json!({"code": message["code"], "sender": message["sender"], "content": message["content"]})
}

/// The announcement of an act of `by` that concerns `user`.
pub(crate) fn entry(code: u64, user: &Session, by: &Session) -> Value {
    json!({"code": code, "sender": user.user(), "content": {"user": user.user(), "by": by.user()}})
}

/// The announcement of a new role.
pub(crate) fn role_entry(code: u64, user: &Session, by: &Session, role: &str) -> Value {
    let content = json!({"user": user.user(), "by": by.user(), "role": role});
    json!({"code": code, "sender": user.user(), "content": content})
}

/// All pages of a list, whose path may have a query.
pub(crate) async fn whole_list(session: &Session, path: &str, noun: &str, limit: usize) -> Vec<Value> {
    let first = format!("{path}{}limit={limit}", if path.contains('?') { '&' } else { '?' });
    let (mut path, mut all) = (first.clone(), Vec::new());
    loop {
        let page = session.get(&path).await.expect(200);
        let mut names = [noun, "next_cursor"];
        names.sort_unstable();
        assert_eq!(super::members(&page), names);
        let items = list(&page, noun);
        assert!(items.len() <= limit, "a page of at most {limit}: {page}");
        all.extend_from_slice(items);
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert!(page["next_cursor"].is_null(), "{page}");
            return all;
        };
        assert!(!items.is_empty(), "an empty page leads no further: {page}");
        path = format!("{first}&cursor={}", encode(cursor));
    }
}

/// Returns a topic's messages up to `left` on the stream, and the reason in it.
pub(crate) async fn until_left(stream: &mut EventStream, topic: &str) -> (Vec<Value>, String) {
    let mut messages = Vec::new();
    loop {
        let event = stream.next().await;
        match event.event.as_str() {
            _ if event.data["topic"] != topic => {}
            "message" => messages.push(event.data),
            "left" => {
                assert_eq!(event.id, None, "{event:?}");
                return (messages, text(&event.data, "reason").to_owned());
            }
            "presence" | "presence_state" => {}
            _ => panic!("not expected: {event:?}"),
        }
    }
}

/// Checks that no event of `topic` comes before a message that `by` now sends to a room that both have joined.
pub(crate) async fn silent(stream: &mut EventStream, topic: &str, by: &Session, room: &str) {
    let sent = by.send(room, json!("the next one")).await;
    loop {
        let event = stream.next().await;
        assert_ne!(event.data["topic"], *topic, "{event:?}");
        if event.event == "message" && event.data["id"] == sent["id"] {
            return;
        }
    }
}
