//! A session's stream, read over a real connection. A test always waits for an event, with a deadline. When the
//! deadline passes, the test fails and shows the events that came instead.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::api::Call;
use super::overload::Overload;
use super::sse::{Frame, SseParser};

/// The longest wait of a test for what should come at once. It is long, as other programs may use every core; it is shorter
/// than the longest long poll (30 s) and the tests' grace period (60 s), so that neither of them passes for "at once".
pub(crate) const DEADLINE: Duration = Duration::from_secs(25);

/// The time limit for a service to start: it migrates its database first.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) data: Value,
    /// The data as it was received.
    pub(crate) text: String,
    pub(crate) id: Option<String>,
}

impl From<Frame> for Event {
    fn from(frame: Frame) -> Self {
        // JSON allows numbers, such as 1e400, that no `Value` can hold; `text` has them.
        let data = serde_json::from_str(&frame.data).unwrap_or_else(|error| {
            assert!(serde_json::from_str::<&RawValue>(&frame.data).is_ok(), "{error}: {}", frame.data);
            Value::Null
        });
        Self { event: frame.event, data, text: frame.data, id: frame.id }
    }
}

/// The result of a read of a stream.
pub(crate) enum Next {
    Event(Event),
    /// The stream ended, with the last chunk of the protocol.
    End,
    /// The connection broke.
    Broken,
    /// Nothing came until the deadline.
    Silence,
}

pub(crate) struct EventStream {
    response: Response,
    parser: SseParser,
    last_id: Option<String>,
    /// All events so far, for the message of a failing test.
    seen: Vec<String>,
}

impl EventStream {
    /// Opens the stream as an EventSource does: what an overloaded service refuses is tried again after its `retry:`.
    pub(crate) async fn open(call: impl Fn() -> Call, id: Option<&str>) -> Self {
        let mut overload = Overload::new();
        loop {
            let call = call().header("accept", "text/event-stream");
            let call = if let Some(id) = id { call.header("last-event-id", id) } else { call };
            let response = call.open().await;
            // A stream has no length; a refusal has one.
            if response.headers().get("content-length").is_none() || response.status() != 200 {
                return Self::of(response, id);
            }
            overload.wait_for_stream(&response.text().await.unwrap()).await;
        }
    }

    pub(crate) fn of(response: Response, id: Option<&str>) -> Self {
        assert_eq!(response.status(), 200, "a stream opens with 200: {response:?}");
        Self { response, parser: SseParser::default(), last_id: id.map(ToOwned::to_owned), seen: Vec::new() }
    }

    /// All events so far, each as its name and the beginning of its data.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn retries(&self) -> &[u64] {
        &self.parser.retries
    }

    pub(crate) fn comments(&self) -> usize {
        self.parser.comments.len()
    }

    /// The last id so far, with which an EventSource would reconnect.
    pub(crate) fn last_id(&self) -> String {
        self.last_id.clone().unwrap_or_else(|| panic!("no id so far, only {:#?}", self.seen))
    }

    pub(crate) async fn next_until(&mut self, deadline: Instant) -> Next {
        loop {
            if let Some(frame) = self.parser.pop() {
                let event = Event::from(frame);
                self.seen.push(format!("{} {:.300}", event.event, event.text));
                if event.id.is_some() {
                    self.last_id.clone_from(&event.id);
                }
                return Next::Event(event);
            }
            match timeout_at(deadline, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.parser.push(&chunk),
                Ok(Ok(None)) => return Next::End,
                Ok(Err(_)) => return Next::Broken,
                Err(_) => return Next::Silence,
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Event {
        match self.next_until(Instant::now() + DEADLINE).await {
            Next::Event(event) => event,
            Next::End => panic!("the stream ended after {:#?}", self.seen),
            Next::Broken => panic!("the connection broke after {:#?}", self.seen),
            Next::Silence => panic!("nothing for {DEADLINE:?} after {:#?}", self.seen),
        }
    }

    /// The next event of this kind; others are skipped.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Event {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.next_until(deadline).await {
                Next::Event(event) if event.event == kind => return event,
                Next::Event(_) => {}
                _ => panic!("no {kind} within {DEADLINE:?}, only {:#?}", self.seen),
            }
        }
    }

    /// The data of the next `count` messages. Presence may come between; anything else fails.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<Value> {
        let events = self.message_events(count).await;
        events.into_iter().map(|event| event.data).collect()
    }

    pub(crate) async fn message_events(&mut self, count: usize) -> Vec<Event> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let event = self.next().await;
            match event.event.as_str() {
                "message" => messages.push(event),
                "ready" | "presence_state" | "presence" => {}
                _ => panic!("no message: {event:?} after {:#?}", self.seen),
            }
        }
        messages
    }

    /// The first event, which must be `ready`, and its data.
    pub(crate) async fn ready(&mut self) -> Value {
        let event = self.next().await;
        assert_eq!(event.event, "ready", "ready is the first event: {event:?}");
        event.data
    }

    /// The `bye` with this reason, after which the stream must end.
    pub(crate) async fn bye(&mut self, reason: &str) -> Event {
        let bye = self.next_of("bye").await;
        assert_eq!(bye.data["reason"], reason, "{bye:?}");
        self.end().await;
        bye
    }

    /// Waits for the stream's end; an event before it fails.
    pub(crate) async fn end(&mut self) {
        match self.next_until(Instant::now() + DEADLINE).await {
            Next::End => {}
            Next::Event(event) => panic!("{event:?} instead of the end, after {:#?}", self.seen),
            Next::Broken => panic!("the connection broke instead of ending, after {:#?}", self.seen),
            Next::Silence => panic!("the stream does not end, after {:#?}", self.seen),
        }
    }

    /// Fails on any event within this time; comments are no events.
    pub(crate) async fn expect_silence(&mut self, time: Duration) {
        match self.next_until(Instant::now() + time).await {
            Next::Silence => {}
            Next::Event(event) => panic!("{event:?} instead of silence, after {:#?}", self.seen),
            Next::End | Next::Broken => panic!("the stream ended instead of being silent, after {:#?}", self.seen),
        }
    }

    /// Fails on an event of this kind within this time; other events are returned.
    pub(crate) async fn expect_none_of(&mut self, kind: &str, time: Duration) -> Vec<Event> {
        let deadline = Instant::now() + time;
        let mut others = Vec::new();
        loop {
            match self.next_until(deadline).await {
                Next::Silence => return others,
                Next::Event(event) if event.event != kind => others.push(event),
                Next::Event(event) => panic!("{event:?} came, after {:#?}", self.seen),
                Next::End | Next::Broken => panic!("the stream ended, after {:#?}", self.seen),
            }
        }
    }

    /// Drops the connection with all that has not been read. Returns the last id.
    pub(crate) fn cut(self) -> String {
        self.last_id()
    }
}
