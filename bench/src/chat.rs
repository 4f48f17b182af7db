//! What each server understands: how to listen to a room, and how to say something there and wait for the answer.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::Http;
use crate::server::{Kind, Server};

/// A session of Parlour that has joined a room, and its connection.
pub struct Session {
    pub http: Http,
    pub token: String,
    pub events: String,
}

/// Whoever says something in a room.
pub struct Sender {
    http: Http,
    token: Option<String>,
    path: String,
}

impl Session {
    /// Opens a session of a built-in account and joins a room.
    pub async fn open(address: &str, name: &str, room: &str) -> Result<Self> {
        let mut http = Http::open(address).await?;
        let device = json!({ "device_id": format!("bench-device-{name}") }).to_string();
        let opened = http.call("POST", "/v1/sessions", None, &device).await?.json()?;
        let text = |name: &str| opened[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let (token, events) = (text("token")?, text("events_url")?);
        http.call("PUT", &format!("/v1/session/topics/room:{room}"), Some(&token), "{}").await?.json()?;
        Ok(Self { http, token, events })
    }
}

/// Listens to a room; answers the connection and what has come of the stream already.
pub async fn listen(kind: Kind, address: &str, name: &str, room: &str) -> Result<(TcpStream, Vec<u8>)> {
    if kind == Kind::Parlour {
        let session = Session::open(address, name, room).await?;
        return session.http.events(&session.events).await;
    }
    Http::open(address).await?.events(&format!("/sub/{room}")).await
}

impl Sender {
    pub async fn open(server: &Server, name: &str, room: &str) -> Result<Self> {
        if server.kind == Kind::Parlour {
            let Session { http, token, .. } = Session::open(&server.address, name, room).await?;
            return Ok(Self { http, token: Some(token), path: format!("/v1/topics/room:{room}/messages") });
        }
        Ok(Self { http: Http::open(&server.address).await?, token: None, path: format!("/pub/{room}") })
    }

    /// Says something, and returns once that is acknowledged.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        let body = json!({ "content": { "text": text } }).to_string();
        let answer = self.http.call("POST", &self.path, self.token.as_deref(), &body).await?;
        ensure!((200..300).contains(&answer.status), "a message was answered with {}", answer.status);
        Ok(())
    }

    /// Asks Parlour for something.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        self.http.call("GET", path, self.token.as_deref(), "").await?.json()
    }

    /// The path of the room's history.
    pub fn history(&self) -> &str {
        &self.path
    }
}
