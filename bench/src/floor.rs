//! The floor under any fan-out: one write(2) of one event to each subscriber's socket, and nothing else. It understands
//! just enough of nchan's protocol to be loaded in the same way. No server on this kernel can cost less per delivery, unless
//! it gathers several events into one write.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// Who listens, by room.
type Subscribers = Arc<Mutex<HashMap<String, Vec<TcpStream>>>>;

/// Serves until it is ended.
pub fn run(address: &str) -> Result<()> {
    let (listener, subscribers) = (TcpListener::bind(address)?, Subscribers::default());
    for stream in listener.incoming() {
        let (stream, subscribers) = (stream?, subscribers.clone());
        std::thread::spawn(move || serve(stream, &subscribers));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, subscribers: &Subscribers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = vec![0; 16 * 1024];
    let length = stream.read(&mut request)?;
    request.truncate(length);
    let Some(room) = room(&request) else {
        return Ok(()); // it was only asked whether somebody is there
    };
    if request.starts_with(b"GET") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
        subscribers.lock().unwrap_or_else(PoisonError::into_inner).entry(room).or_default().push(stream);
        return Ok(());
    }
    publish(stream, request, &room, subscribers)
}

/// `lobby` of `GET /sub/lobby HTTP/1.1`.
fn room(request: &[u8]) -> Option<String> {
    let path = request.split(|byte| *byte == b' ').nth(1)?;
    let room = path.rsplit(|byte| *byte == b'/').next()?;
    Some(String::from_utf8_lossy(room).into_owned())
}

fn publish(mut stream: TcpStream, mut request: Vec<u8>, room: &str, subscribers: &Subscribers) -> std::io::Result<()> {
    while !request.is_empty() {
        let body = memchr::memmem::find(&request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
        let event = [b"id: 1795457892:0\ndata: ", &request[body..], b"\n\n"].concat();
        for subscriber in subscribers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(room).into_iter().flatten()
        {
            let _ = subscriber.write(&event);
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        request.resize(16 * 1024, 0);
        let length = stream.read(&mut request)?;
        request.truncate(length);
    }
    Ok(())
}
