//! The floor under any fan-out: one write(2) of one event to each subscriber's socket, and nothing else. It understands
//! just enough of nchan's protocol to be loaded in the same way. No server on this kernel can cost less per delivery, unless
//! it gathers several events into one write.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

type Subscribers = Arc<Mutex<Vec<TcpStream>>>;

/// Serves until it is ended.
pub fn run(address: &str) -> Result<()> {
    let (listener, subscribers) = (TcpListener::bind(address)?, Subscribers::default());
    for stream in listener.incoming() {
        let (mut stream, subscribers) = (stream?, subscribers.clone());
        stream.set_nodelay(true)?;
        let mut request = vec![0; 16 * 1024];
        let length = stream.read(&mut request)?;
        request.truncate(length);
        if request.starts_with(b"GET") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
            subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        } else if length > 0 {
            std::thread::spawn(move || publish(stream, request, &subscribers));
        }
    }
    Ok(())
}

fn publish(mut stream: TcpStream, mut request: Vec<u8>, subscribers: &Subscribers) -> std::io::Result<()> {
    while !request.is_empty() {
        let body = memchr::memmem::find(&request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
        let event = [b"id: 1795457892:0\ndata: ", &request[body..], b"\n\n"].concat();
        for subscriber in subscribers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let _ = subscriber.write(&event);
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        request.resize(16 * 1024, 0);
        let length = stream.read(&mut request)?;
        request.truncate(length);
    }
    Ok(())
}
