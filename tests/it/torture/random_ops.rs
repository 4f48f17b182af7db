//! After any sequence of joins, leaves, sends, cuts and resumes, a stream continues exactly where its id says, for any
//! id so far. Each opening of the stream is compared with a model, which holds for each id what its client had seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::{Event, EventStream, Session, TestApp, list, number, text};

#[derive(Clone, Debug)]
enum Op {
    Join(usize),
    Leave(usize),
    Send(usize),
    Read(usize),
    Cut,
    Open,
    OpenAtEnd,
    Resume(Index),
}

const ROOMS: usize = 3;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let room = 0..ROOMS;
    let op = prop_oneof![
        3 => room.clone().prop_map(Op::Join),
        1 => room.clone().prop_map(Op::Leave),
        8 => room.prop_map(Op::Send),
        5 => (1..6_usize).prop_map(Op::Read),
        1 => Just(Op::Cut),
        1 => Just(Op::Open),
        1 => Just(Op::OpenAtEnd),
        4 => any::<Index>().prop_map(Op::Resume),
    ];
    prop::collection::vec(op, 1..60)
}

/// For each room, the number of its join and the last seq seen in it.
type Seen = BTreeMap<usize, (usize, u64)>;

struct Model {
    session: Session,
    writer: Session,
    rooms: Vec<String>,
    stream: Option<EventStream>,
    /// For each joined room, the number of the join and its position.
    joins: Seen,
    joined: usize,
    ends: [u64; ROOMS],
    /// The entries of the joined rooms that the client has seen.
    seen: Seen,
    /// Every id so far, with what the client had seen then, and the number of the stream's opening.
    ids: Vec<(String, Seen, usize)>,
    opened: usize,
    /// The entries that the client had seen according to the last id that it brought back.
    brought_back: Seen,
    /// The latest opening of which an id was brought back. Its ids, newer ones, and those of the last eight openings
    /// are good.
    newest: usize,
}

impl Model {
    async fn new(app: &TestApp, case: usize) -> Self {
        let rooms: Vec<String> = (0..ROOMS).map(|room| format!("room:{case}/{room}")).collect();
        let (session, writer) = (app.session(&format!("reader {case}")).await, app.session("writer").await);
        for room in &rooms {
            writer.join(room).await;
        }
        Self {
            session,
            writer,
            rooms,
            stream: None,
            joins: Seen::new(),
            joined: 0,
            ends: [0; ROOMS],
            seen: Seen::new(),
            ids: Vec::new(),
            opened: 0,
            brought_back: Seen::new(),
            newest: 0,
        }
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Join(room) => self.join(*room).await,
            Op::Leave(room) => self.leave(*room).await,
            Op::Send(room) => {
                self.ends[*room] += 1;
                let sent = self.writer.send(&self.rooms[*room], json!(self.ends[*room])).await;
                assert_eq!(number(&sent, "seq"), self.ends[*room]);
            }
            Op::Read(count) => self.read(*count).await,
            Op::Cut => self.stream = None,
            Op::Open => {
                let expected = self.start(&self.brought_back);
                let stream = self.session.stream().await;
                let found = self.opened(stream).await;
                assert_eq!(found, expected, "where the last id that came back says");
            }
            Op::OpenAtEnd => {
                let expected = self.joins.iter().map(|(&room, &(join, _))| (room, (join, self.ends[room]))).collect();
                let stream = self.session.stream_with("from=now").await;
                let found = self.opened(stream).await;
                assert_eq!(found, expected, "at the end");
            }
            Op::Resume(index) if !self.ids.is_empty() => {
                let (id, seen, opening) = index.get(&self.ids).clone();
                let (exact, none) = (self.start(&seen), self.start(&self.brought_back));
                let stream = self.session.stream_from(&id).await;
                let found = self.opened(stream).await;
                if opening >= self.newest || opening + 7 >= self.opened || found == exact {
                    assert_eq!(found, exact, "exactly where the id says");
                    self.brought_back = seen;
                    self.newest = self.newest.max(opening);
                } else {
                    assert_eq!(found, none, "an id that is gone counts as none");
                }
            }
            Op::Resume(_) => {}
        }
    }

    async fn join(&mut self, room: usize) {
        let position = number(&self.session.join(&self.rooms[room]).await, "position");
        if self.joins.contains_key(&room) {
            return assert_eq!(position, self.joins[&room].1, "a repeat moves nothing");
        }
        assert_eq!(position, self.ends[room], "a join starts at the end");
        self.joined += 1;
        self.joins.insert(room, (self.joined, position));
        self.seen.insert(room, (self.joined, position));
        if self.stream.is_some() {
            // Until the stream has shown the join: it need not show a join that ends before.
            self.next_about(room, "presence_state").await;
        }
    }

    async fn leave(&mut self, room: usize) {
        self.session.leave(&self.rooms[room]).await;
        if self.joins.remove(&room).is_none() {
            return;
        }
        if self.stream.is_some() {
            // Messages from before the leave may come or not; none may come after `left`.
            self.next_about(room, "left").await;
        }
        self.seen.remove(&room);
    }

    async fn read(&mut self, count: usize) {
        let Some(_) = self.stream else { return };
        let unread: u64 = self.seen.iter().map(|(&room, &(_, seen))| self.ends[room] - seen).sum();
        let mut left = count.min(usize::try_from(unread).unwrap());
        while left > 0 {
            left -= usize::from(self.next().await.event == "message");
        }
    }

    /// The start of a stream whose client has seen this. A room that was joined later, or anew, starts at its join.
    fn start(&self, seen: &Seen) -> Seen {
        let start = |(&room, &join): (&usize, &(usize, u64))| match seen.get(&room) {
            Some(&(same, position)) if same == join.0 => (room, (same, position)),
            _ => (room, join),
        };
        self.joins.iter().map(start).collect()
    }

    /// Takes a new stream and returns the positions in its `ready`.
    async fn opened(&mut self, mut stream: EventStream) -> Seen {
        self.opened += 1;
        let ready = stream.ready().await;
        let topics = list(&ready, "topics");
        assert_eq!(topics.len(), self.joins.len(), "{ready}");
        let room = |topic: &str| self.rooms.iter().position(|room| room == topic).expect("a room of this case");
        let topics = topics.iter().map(|topic| (room(text(topic, "topic")), number(topic, "position")));
        self.seen = topics.map(|(room, position)| (room, (self.joins[&room].0, position))).collect();
        self.ids.push((stream.last_id(), self.seen.clone(), self.opened));
        self.stream = Some(stream);
        self.seen.clone()
    }

    async fn next(&mut self) -> Event {
        let event = self.stream.as_mut().unwrap().next().await;
        match event.event.as_str() {
            "message" => self.message(&event),
            "left" | "presence" | "presence_state" => assert_eq!(event.id, None),
            other => panic!("{other} is not expected: {event:?}"),
        }
        event
    }

    async fn next_about(&mut self, room: usize, kind: &str) {
        loop {
            let event = self.next().await;
            if event.event == kind && event.data["topic"] == *self.rooms[room] {
                return;
            }
        }
    }

    fn message(&mut self, event: &Event) {
        let topic = text(&event.data, "topic");
        let room = self.rooms.iter().position(|room| room == topic).unwrap();
        let (_, seen) = self.seen.get_mut(&room).unwrap_or_else(|| panic!("{topic} is not joined: {event:?}"));
        *seen += 1;
        assert_eq!(number(&event.data, "seq"), *seen, "{event:?}");
        assert_eq!(event.data["content"], *seen);
        self.ids.push((event.id.clone().unwrap(), self.seen.clone(), self.opened));
    }

    /// Reads all that is there, after which no message may come.
    async fn finish(&mut self) {
        if self.stream.is_none() {
            self.apply(&Op::Open).await;
        }
        self.read(usize::MAX).await;
        self.stream.as_mut().unwrap().expect_none_of("message", Duration::from_millis(20)).await;
    }
}

#[test]
fn any_sequence_of_joins_leaves_sends_cuts_and_resumes_continues_exactly() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::start());
    let cases = AtomicUsize::new(0);
    let config = Config { cases: 60, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let tested = TestRunner::new(config).run(&ops(), |ops| {
        runtime.block_on(Box::pin(async {
            let mut model = Model::new(&app, cases.fetch_add(1, Ordering::Relaxed)).await;
            for op in &ops {
                model.apply(op).await;
            }
            model.finish().await;
        }));
        Ok(())
    });
    tested.unwrap_or_else(|failure| panic!("{failure}"));
    let _inside = runtime.enter();
    drop(app);
}
