//! The chat protocol of each server: listen to a room, and send a message to it and wait for the response.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::Http;
use crate::server::{Kind, Server};

/// A session of Parlour that has joined a room.
pub(crate) struct Session {
    pub http: Http,
    /// The session token.
    pub token: String,
    /// The path of the stream, with the stream token.
    pub events: String,
}

/// A client that sends messages to a room.
pub(crate) struct Sender {
    http: Http,
    /// The session token, for Parlour only.
    token: Option<String>,
    /// The path that messages are sent to.
    path: String,
}

impl Session {
    /// Opens a session of a built-in account, and joins a room.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the call.
    pub(crate) async fn open(address: &str, name: &str, room: &str) -> Result<Self> {
        let mut http = Http::open(address).await?;
        let device = json!({ "device_id": format!("bench-device-{name}") }).to_string();
        let opened = http.call("POST", "/v1/sessions", None, &device).await?.json()?;
        let text = |name: &str| opened[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let (token, events) = (text("token")?, text("events_url")?);
        http.call("PUT", &format!("/v1/session/topics/room:{room}"), Some(&token), "{}").await?.json()?;
        Ok(Self { http, token, events })
    }
}

/// Opens a stream of a room. Returns the connection, and the part of the stream that has arrived already.
///
/// # Errors
/// If the server cannot be reached, or refuses the call.
pub(crate) async fn listen(kind: Kind, address: &str, name: &str, room: &str) -> Result<(TcpStream, Vec<u8>)> {
    if kind == Kind::Parlour {
        let session = Session::open(address, name, room).await?;
        return session.http.events(&session.events).await;
    }
    Http::open(address).await?.events(&format!("/sub/{room}")).await
}

impl Sender {
    /// Connects to a server; on Parlour, this opens a session and joins the room.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the call.
    pub(crate) async fn open(server: &Server, name: &str, room: &str) -> Result<Self> {
        if server.kind == Kind::Parlour {
            let Session { http, token, .. } = Session::open(&server.address, name, room).await?;
            return Ok(Self { http, token: Some(token), path: format!("/v1/topics/room:{room}/messages") });
        }
        Ok(Self { http: Http::open(&server.address).await?, token: None, path: format!("/pub/{room}") })
    }

    /// Sends a message, and waits for the acknowledgement.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the call.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        let body = json!({ "content": { "text": text } }).to_string();
        let response = self.http.call("POST", &self.path, self.token.as_deref(), &body).await?;
        ensure!((200..300).contains(&response.status), "the response to a message has status {}", response.status);
        Ok(())
    }

    /// Sends a GET request to Parlour.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the call.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        self.http.call("GET", path, self.token.as_deref(), "").await?.json()
    }

    /// Returns the path of the room's history.
    pub(crate) fn history(&self) -> &str {
        &self.path
    }
}
