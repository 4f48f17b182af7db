//! The floor: a server with the lowest possible cost of a fan-out. For each delivery it makes one write(2) of one event to
//! the socket of the subscriber, and nothing else. It implements the part of nchan's protocol that the workloads use. No
//! server on the same kernel can cost less per delivery, unless it collects several events in one write.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;

/// The sockets of the subscribers, by room.
type Subscribers = Arc<Mutex<HashMap<String, Vec<TcpStream>>>>;

/// Serves until the process is killed.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) fn run(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let subscribers = Subscribers::default();
    for stream in listener.incoming() {
        let stream = stream?;
        let subscribers = subscribers.clone();
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
        return Ok(()); // a connection without a request, which only checks that the server listens
    };
    if request.starts_with(b"GET") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
        subscribers.lock().entry(room).or_default().push(stream);
        return Ok(());
    }
    publish(stream, request, &room, subscribers)
}

/// Returns the room of a request: `lobby` for `GET /sub/lobby HTTP/1.1`.
fn room(request: &[u8]) -> Option<String> {
    let path = request.split(|byte| *byte == b' ').nth(1)?;
    let room = path.rsplit(|byte| *byte == b'/').next()?;
    Some(String::from_utf8_lossy(room).into_owned())
}

/// Sends the body of each request on a connection to the subscribers of the room, and acknowledges it.
fn publish(mut stream: TcpStream, mut request: Vec<u8>, room: &str, subscribers: &Subscribers) -> std::io::Result<()> {
    while !request.is_empty() {
        let body = memchr::memmem::find(&request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
        let event = [b"id: 1795457892:0\ndata: ", &request[body..], b"\n\n"].concat();
        for subscriber in subscribers.lock().get_mut(room).into_iter().flatten() {
            let _ = subscriber.write(&event);
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        request.resize(16 * 1024, 0);
        let length = stream.read(&mut request)?;
        request.truncate(length);
    }
    Ok(())
}
