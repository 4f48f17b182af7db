//! A client that costs as little as possible, so that the server is what a run measures: HTTP/1.1, one request at a time.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept alive.
pub struct Http {
    stream: TcpStream,
    address: String,
    /// What has been read beyond the last answer.
    read: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), read: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer.
    pub async fn call(&mut self, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Answer> {
        self.send(method, path, token, "application/json", body).await?;
        let (status, length) = self.head().await?;
        let length = length.unwrap_or(0);
        while self.read.len() < length {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the server hung up");
        }
        let rest = self.read.split_off(length);
        Ok(Answer { status, body: std::mem::replace(&mut self.read, rest) })
    }

    /// Sends a GET for a stream of events, and hands over the connection once its head has come.
    pub async fn events(mut self, path: &str) -> Result<(TcpStream, Vec<u8>)> {
        self.send("GET", path, None, "text/event-stream", "").await?;
        let (status, _) = self.head().await?;
        ensure!(status == 200, "a stream was answered with {status}");
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

    /// The status, and the length of the body where it is given.
    async fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the server hung up");
        };
        let rest = self.read.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.read, rest))?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Ok((status, length.map(|length| length.trim().parse()).transpose()?))
    }
}

impl Answer {
    /// The body of an answer that says yes.
    pub fn json(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("answered with {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body)? })
    }
}
