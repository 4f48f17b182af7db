//! An HTTP/1.1 client with one request at a time. It uses as little CPU as possible, because it runs beside the server that
//! is measured.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A persistent connection.
pub(crate) struct Http {
    stream: TcpStream,
    address: String,
    /// The bytes after the last response that have been read already.
    read: Vec<u8>,
}

/// A response.
pub(crate) struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    /// Connects to a server.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), read: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// If the connection fails, or the response cannot be parsed.
    pub(crate) async fn call(&mut self, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Response> {
        self.send(method, path, token, "application/json", body).await?;
        let (status, length) = self.head().await?;
        let length = length.unwrap_or(0);
        while self.read.len() < length {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the server closed the connection");
        }
        let rest = self.read.split_off(length);
        Ok(Response { status, body: std::mem::replace(&mut self.read, rest) })
    }

    /// Opens a stream of events. Returns the connection once the head of the response has arrived, and the bytes after the
    /// head that have been read already.
    ///
    /// # Errors
    /// If the connection fails, or the status is not 200.
    pub(crate) async fn events(mut self, path: &str) -> Result<(TcpStream, Vec<u8>)> {
        self.send("GET", path, None, "text/event-stream", "").await?;
        let (status, _) = self.head().await?;
        ensure!(status == 200, "the response to the opening of a stream has status {status}");
        Ok((self.stream, self.read))
    }

    async fn send(&mut self, method: &str, path: &str, token: Option<&str>, accept: &str, body: &str) -> Result<()> {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n{authorization}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Reads the head of a response. Returns the status, and the length of the body if the head has it.
    async fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the server closed the connection");
        };
        let rest = self.read.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.read, rest))?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Ok((status, length.map(|length| length.trim().parse()).transpose()?))
    }
}

impl Response {
    /// Parses the body of a successful response; an empty body is `null`.
    ///
    /// # Errors
    /// If the status is not 2xx, or the body is no JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("a response has status {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body)? })
    }
}
