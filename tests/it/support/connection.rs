//! A bare TCP connection, for requests that no HTTP client makes.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Api, OVERLOAD_DEADLINE};

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    pub(crate) async fn open(api: &Api) -> Self {
        Self::with_buffer(api, None).await
    }

    /// With a small receive buffer, the peer's writes soon block while the test does not read.
    pub(crate) async fn with_buffer(api: &Api, receive_buffer: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(size) = receive_buffer {
            socket.set_recv_buffer_size(size).unwrap();
        }
        let address = api.base().strip_prefix("http://").unwrap().parse().unwrap();
        Self { stream: socket.connect(address).await.unwrap() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Appends at least one more byte, which must come within [`OVERLOAD_DEADLINE`].
    pub(crate) async fn read_more(&mut self, bytes: &mut Vec<u8>) {
        let received = timeout(OVERLOAD_DEADLINE, self.stream.read_buf(bytes)).await.expect("more bytes in time");
        assert!(received.unwrap() > 0, "the connection ended after {:?}", String::from_utf8_lossy(bytes));
    }

    /// Reads up to the connection's end, which must come within this time.
    pub(crate) async fn read_to_end(&mut self, within: Duration) -> String {
        let mut bytes = Vec::new();
        let read = timeout(within, self.stream.read_to_end(&mut bytes)).await;
        let received = String::from_utf8_lossy(&bytes).into_owned();
        assert!(read.is_ok(), "the connection still stands after {within:?}: {received}");
        received
    }
}
