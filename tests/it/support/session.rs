//! A session of a user, and the calls that a client makes with it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::api::Call;
use super::{Api, DEADLINE, EventStream, Reply, encode, list, text};

#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) api: Api,
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) username: String,
    pub(crate) token: String,
    pub(crate) stream_token: String,
    pub(crate) events_url: String,
}

/// A page of history.
pub(crate) struct Page {
    pub(crate) messages: Vec<Value>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) prev_cursor: Option<String>,
    pub(crate) reply: Reply,
}

impl Session {
    pub(crate) async fn of_device(api: &Api, name: &str) -> Self {
        let body = json!({"device_id": format!("the device of {name}"), "username": name});
        Self::of_answer(api, &api.post("/v1/sessions").json(&body).send().await.expect(201))
    }

    /// A session of an issuer's user.
    pub(crate) async fn of_token(api: &Api, user_token: &str) -> Self {
        Self::of_answer(api, &api.post("/v1/sessions").bearer(user_token).send().await.expect(201))
    }

    pub(crate) fn of_answer(api: &Api, answer: &Value) -> Self {
        let user = &answer["session"]["user"];
        Self {
            api: api.clone(),
            id: text(&answer["session"], "id").to_owned(),
            user_id: text(user, "user_id").to_owned(),
            username: text(user, "username").to_owned(),
            token: text(answer, "token").to_owned(),
            stream_token: text(answer, "stream_token").to_owned(),
            events_url: text(answer, "events_url").to_owned(),
        }
    }

    /// The same session, its calls sent to another instance.
    pub(crate) fn at(&self, api: &Api) -> Self {
        Self { api: api.clone(), ..self.clone() }
    }

    /// The same session, all its calls sent to one instance, as over one connection.
    pub(crate) fn over_one_connection(&self) -> Self {
        self.at(&self.api.each().next().unwrap())
    }

    /// The user as every response shows them.
    pub(crate) fn user(&self) -> Value {
        json!({"user_id": self.user_id, "username": self.username})
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.api.call(method, path).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::PUT, path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, path).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path).send().await
    }

    pub(crate) async fn try_join(&self, topic: &str) -> Reply {
        self.call(Method::PUT, &format!("/v1/session/topics/{}", encode(topic))).send().await
    }

    pub(crate) async fn join(&self, topic: &str) -> Value {
        self.try_join(topic).await.expect(200)
    }

    pub(crate) async fn join_hidden(&self, topic: &str) -> Value {
        self.put(&format!("/v1/session/topics/{}", encode(topic)), &json!({"hidden": true})).await.expect(200)
    }

    pub(crate) async fn leave(&self, topic: &str) {
        self.delete(&format!("/v1/session/topics/{}", encode(topic))).await.expect(204);
    }

    pub(crate) async fn block(&self, other: &Self) {
        self.call(Method::PUT, &format!("/v1/me/blocks/{}", encode(&other.user_id))).send().await.expect(204);
    }

    pub(crate) async fn unblock(&self, other: &Self) {
        self.delete(&format!("/v1/me/blocks/{}", encode(&other.user_id))).await.expect(204);
    }

    /// Waits until the session's `stream_open` has this value.
    pub(crate) async fn until_streaming(&self, open: bool) {
        let since = Instant::now();
        while self.get("/v1/session").await.expect(200)["stream_open"] != open {
            assert!(since.elapsed() < DEADLINE, "stream_open is not {open} after {DEADLINE:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn sign_out(&self) {
        self.delete("/v1/session").await.expect(204);
    }

    /// Sends and returns the stored message.
    pub(crate) async fn send(&self, topic: &str, content: Value) -> Value {
        self.try_send(topic, content).await.expect(201)
    }

    pub(crate) async fn try_send(&self, topic: &str, content: Value) -> Reply {
        let body = Value::Object([("content".to_owned(), content)].into_iter().collect());
        self.post(&messages_of(topic), &body).await
    }

    /// Sends with an idempotency key; `body` is the whole body.
    pub(crate) async fn send_with(&self, topic: &str, body: &Value, key: &str) -> Reply {
        self.call(Method::POST, &messages_of(topic)).header("idempotency-key", key).json(body).send().await
    }

    pub(crate) async fn send_ephemeral(&self, topic: &str, content: &str) -> Value {
        self.post(&messages_of(topic), &json!({"content": content, "ephemeral": true})).await.expect(202)
    }

    /// `messages` sends, whose contents are 1, 2, 3, …
    pub(crate) async fn send_numbers(&self, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<Value> {
        let mut sent = Vec::new();
        for number in numbers {
            sent.push(self.send(topic, number.into()).await);
        }
        sent
    }

    /// Reads a message anew.
    pub(crate) async fn read(&self, message: &Value) -> Value {
        self.get(&path_of(message)).await.expect(200)
    }

    /// Edits a message and returns the response.
    pub(crate) async fn edit(&self, message: &Value, content: Value) -> Value {
        self.try_edit(message, content).await.expect(200)
    }

    pub(crate) async fn try_edit(&self, message: &Value, content: Value) -> Reply {
        let body = Value::Object([("content".to_owned(), content)].into_iter().collect());
        self.patch(&path_of(message), &body).await
    }

    pub(crate) async fn remove(&self, message: &Value) {
        self.try_remove(message).await.expect(204);
    }

    pub(crate) async fn try_remove(&self, message: &Value) -> Reply {
        self.delete(&path_of(message)).await
    }

    pub(crate) async fn history(&self, topic: &str, query: &str) -> Page {
        self.page(&format!("{}?{query}", messages_of(topic))).await
    }

    /// A page of history by its whole path, such as in a `Link` header.
    pub(crate) async fn page(&self, path: &str) -> Page {
        let reply = self.get(path).await;
        let body = reply.expect(200);
        let cursor = |name: &str| body[name].as_str().map(ToOwned::to_owned);
        Page {
            messages: list(&body, "messages").clone(),
            next_cursor: cursor("next_cursor"),
            prev_cursor: cursor("prev_cursor"),
            reply,
        }
    }

    /// The whole history, oldest first.
    pub(crate) async fn whole_history(&self, topic: &str) -> Vec<Value> {
        self.whole(topic, "direction=forward&limit=100").await
    }

    /// Every entry, oldest first: the whole history with edits and removals.
    pub(crate) async fn whole_log(&self, topic: &str) -> Vec<Value> {
        self.whole(topic, "direction=forward&limit=100&changes=true").await
    }

    async fn whole(&self, topic: &str, query: &str) -> Vec<Value> {
        let mut page = self.history(topic, query).await;
        let mut messages = Vec::new();
        while !page.messages.is_empty() {
            messages.append(&mut page.messages);
            let cursor = page.next_cursor.expect("forward, a cursor stays for later");
            page = self.history(topic, &format!("{query}&cursor={cursor}")).await;
        }
        messages
    }

    pub(crate) async fn last_seq(&self, topic: &str) -> u64 {
        super::number(&self.topic(topic).await, "last_seq")
    }

    /// The id of the DM of this user and another one, in this user's short form.
    pub(crate) fn dm(&self, other: &Self) -> String {
        assert_ne!(self.user_id, other.user_id);
        format!("dm:{}", other.user_id)
    }

    /// A page of the inbox: its topics, and the cursor.
    pub(crate) async fn inbox(&self, query: &str) -> (Vec<Value>, Option<String>) {
        let page = self.get(&format!("/v1/me/topics?{query}")).await.expect(200);
        assert_eq!(super::members(&page), ["next_cursor", "topics"]);
        (list(&page, "topics").clone(), page["next_cursor"].as_str().map(ToOwned::to_owned))
    }

    pub(crate) async fn try_mark_read(&self, topic: &str, body: &Value) -> Reply {
        self.put(&format!("/v1/topics/{}/read", encode(topic)), body).await
    }

    /// Moves the read mark and returns the response. A move to 0 changes nothing.
    pub(crate) async fn mark_read(&self, topic: &str, seq: u64) -> Value {
        self.try_mark_read(topic, &json!({"seq": seq})).await.expect(200)
    }

    pub(crate) async fn topic(&self, topic: &str) -> Value {
        self.get(&format!("/v1/topics/{}", encode(topic))).await.expect(200)
    }

    /// The ids of the sessions present on a topic, sorted.
    pub(crate) async fn present(&self, topic: &str) -> Vec<String> {
        let body = self.get(&format!("/v1/topics/{}/presences", encode(topic))).await.expect(200);
        let mut ids: Vec<String> =
            list(&body, "presences").iter().map(|presence| text(presence, "session_id").to_owned()).collect();
        ids.sort_unstable();
        ids
    }

    /// Opens the stream as an EventSource without an id does.
    pub(crate) async fn stream(&self) -> EventStream {
        EventStream::open(|| self.api.get(&self.events_url), None).await
    }

    /// Opens the stream as an EventSource that reconnects with its last id does.
    pub(crate) async fn stream_from(&self, id: &str) -> EventStream {
        EventStream::open(|| self.api.get(&self.events_url), Some(id)).await
    }

    /// Opens the stream with further query parameters: `from=now`, `last_event_id=…`.
    pub(crate) async fn stream_with(&self, query: &str) -> EventStream {
        EventStream::open(|| self.api.get(&format!("{}&{query}", self.events_url)), None).await
    }

    /// One long poll.
    pub(crate) async fn poll(&self, query: &str) -> Reply {
        self.call(Method::GET, &format!("/v1/session/events?{query}")).header("accept", "application/json").send().await
    }
}

/// The path of a message.
pub(crate) fn path_of(message: &Value) -> String {
    format!("{}/{}", messages_of(text(message, "topic")), text(message, "id"))
}

pub(crate) fn messages_of(topic: &str) -> String {
    format!("/v1/topics/{}/messages", encode(topic))
}
