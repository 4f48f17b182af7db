use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;

use super::Stream;
use crate::live::testing::TestHub;
use crate::live::{ByteSink, FRAME_ROOM, Format, Hub};
use crate::model::event_id::{EventId, JoinNumber};
use crate::model::group::Act;
use crate::model::{Content, Effect, Entry, EphemeralEvent, GroupId, MessageId, Seq, SessionId, TopicId, UserId};
use crate::store::{
    Draft, JoinOutcome, JoinRequest, LeaveReason, MemberAct, MemberChanged, NewGroup, NewSession, Resume, Target,
    TopicKey,
};

type Tested = Result<(), Box<dyn Error>>;

/// A sink that accepts every piece.
#[derive(Debug)]
struct Pieces(mpsc::UnboundedSender<String>);

impl ByteSink for Pieces {
    fn write_now(&self, piece: &mut BytesMut) {
        let text = String::from_utf8_lossy(&piece[FRAME_ROOM..]).into_owned();
        let _ = self.0.send(text); // the test may be over
        piece.clear();
    }
}

/// A hub on a database of its own, and a session there.
async fn hub() -> Result<(TestHub, SessionId), Box<dyn Error>> {
    let hub = TestHub::new().await?;
    let session = sign_in(&hub, "ana").await?;
    Ok((hub, session))
}

fn user(name: &str) -> Result<UserId, Box<dyn Error>> {
    Ok(UserId::parse(name).ok_or("an id")?)
}

async fn sign_in(hub: &Hub, name: &str) -> Result<SessionId, Box<dyn Error>> {
    let session = SessionId(hub.inner.clock.uuid());
    let long = Duration::from_secs(600);
    let whose = NewSession::Issued { id: user(name)?, username: name.into() };
    hub.inner.store.open_session(session, whose, long).await?;
    Ok(session)
}

/// A group that Bea has made, with Ana in it; the sessions of both have joined its topic.
struct Group {
    id: GroupId,
    topic: TopicId,
    key: TopicKey,
    bea: SessionId,
}

impl Group {
    async fn new(hub: &Hub, ana: SessionId) -> Result<Self, Box<dyn Error>> {
        let bea = sign_in(hub, "bea").await?;
        let new = NewGroup { name: "Group".into(), description: String::new(), open: true, max_members: 10 };
        let id = hub.inner.store.create_group(new, user("bea")?).await?.id;
        let mut group = Self { id, topic: TopicId::group(id), key: 0, bea };
        group.key = join(hub, bea, &group.topic).await?;
        group.act(hub, Act::Add, "ana").await?;
        join(hub, ana, &group.topic).await?;
        Ok(group)
    }

    /// Bea acts on a member; the hub gets no hint of it.
    async fn act(&self, hub: &Hub, act: Act, target: &str) -> Result<MemberChanged, Box<dyn Error>> {
        let act = MemberAct { group: self.id, act, actor: user("bea")?, target: user(target)? };
        Ok(hub.inner.store.act_in_group(act).await?.map_err(|refused| format!("{refused:?}"))?)
    }

    /// Bea sends a message; the hub gets no hint of it.
    async fn send(&self, hub: &Hub, text: &str) -> Result<MessageId, Box<dyn Error>> {
        let id = MessageId(hub.inner.clock.uuid());
        let topic = self.topic.clone();
        let draft = Draft { id, topic, session: self.bea, content: content(text)?, key: None };
        hub.inner.store.append(draft).await?;
        Ok(id)
    }

    /// Bea edits a message; the hub gets no hint of it.
    async fn edit(&self, hub: &Hub, message: MessageId, text: &str) -> Tested {
        let target = Target { session: self.bea, topic: self.topic.clone(), message };
        let edited = hub.inner.store.edit_message(target, content(text)?).await?;
        Ok(edited.map(drop).map_err(|refused| format!("{refused:?}"))?)
    }
}

fn content(text: &str) -> Result<Content, Box<dyn Error>> {
    Ok(Content::new(&serde_json::value::to_raw_value(text)?)?)
}

async fn open(hub: &Hub, session: SessionId) -> Result<Stream, Box<dyn Error>> {
    Ok(Stream::open(hub, session, user("ana")?, Resume::Last, Format::Sse).await?)
}

async fn join(hub: &Hub, session: SessionId, topic: &TopicId) -> Result<TopicKey, Box<dyn Error>> {
    let joining = JoinRequest { session, topic: topic.clone(), hidden: None, max: 10, grace: hub.grace() };
    let JoinOutcome { join, .. } = hub.inner.store.join(joining).await?.map_err(|refused| format!("{refused:?}"))?;
    hub.joins_changed(session);
    Ok(join.topic.key)
}

/// Gathers what is ready, pages of the log included, and takes no signals.
async fn gather(stream: &mut Stream) {
    for _ in 0..5_000 {
        stream.gather(usize::MAX).await;
        let reading = stream.topics.iter().filter(|(_, topic)| topic.page_read.is_some());
        let reading: Vec<JoinNumber> = reading.map(|(join_number, _)| *join_number).collect();
        if reading.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        reading.into_iter().for_each(|join_number| stream.enqueue(join_number));
    }
    panic!("a page of the log does not come");
}

/// Takes what the stream has written.
fn written(stream: &mut Stream) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(stream.encoder.take().to_vec())?)
}

#[tokio::test]
async fn an_ephemeral_message_after_a_join_has_ended_is_not_shown() -> Tested {
    let (hub, session) = hub().await?;
    let room = TopicId::stored("room:a");
    let key = join(&hub, session, &room).await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    gather(&mut stream).await;
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"first\"".into()));
    stream.take_signals().await;
    // The stream has taken its signals, and is about to read, when the join ends and a later event comes.
    hub.inner.store.leave(session, &room, LeaveReason::Blocked).await?;
    hub.joins_changed(session);
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"after\"".into()));
    gather(&mut stream).await;
    stream.take_signals().await;
    gather(&mut stream).await;
    let text = written(&mut stream)?;
    assert!(text.contains("\"reason\":\"blocked\"") && !text.contains("\"after\""), "{text}");
    Ok(())
}

#[tokio::test]
async fn an_ephemeral_message_is_shown_though_another_join_has_changed() -> Tested {
    let (hub, session) = hub().await?;
    let key = join(&hub, session, &TopicId::stored("room:a")).await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    gather(&mut stream).await;
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"hello\"".into()));
    stream.take_signals().await;
    join(&hub, session, &TopicId::stored("room:b")).await?;
    for _ in 0..2 {
        gather(&mut stream).await;
        stream.take_signals().await;
    }
    let text = written(&mut stream)?;
    assert!(text.contains("\"hello\""), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_join_that_was_made_and_ended_between_two_reads_is_sent_as_ended_once() -> Tested {
    let (hub, session) = hub().await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    for room in ["room:a", "room:b"] {
        join(&hub, session, &TopicId::stored(room)).await?;
    }
    hub.inner.store.leave(session, &TopicId::stored("room:a"), LeaveReason::Kicked).await?;
    hub.joins_changed(session);
    for _ in 0..2 {
        stream.take_signals().await;
        gather(&mut stream).await;
        hub.joins_changed(session);
    }
    let text = written(&mut stream)?;
    assert_eq!(text.matches("event: left\ndata: {\"topic\":\"room:a\",\"reason\":\"kicked\"}").count(), 1, "{text}");
    assert_eq!(text.matches("event: left").count(), 1, "{text}");
    // A client that holds a later id has received it: it is not sent again.
    let mut id = Vec::new();
    stream.positions.write_id(&[], &mut Vec::new(), &mut id);
    let id = EventId::decode(hub.tag(session), &String::from_utf8(id)?).ok_or("an id")?;
    let ana = UserId::parse("ana").ok_or("an id")?;
    let mut again = Stream::open(&hub, session, ana, Resume::Id(id), Format::Sse).await?;
    let text = written(&mut again)?;
    assert!(text.contains("event: ready") && !text.contains("event: left"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_edited_after_the_topic_was_lost_is_not_shown_to_a_stream_that_lags() -> Tested {
    let (hub, session) = hub().await?;
    let group = Group::new(&hub, session).await?;
    let before = group.send(&hub, "before").await?;
    let after = group.send(&hub, "after").await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    group.edit(&hub, before, "edited in time").await?;
    // Without a hint: only the log contains the end.
    group.act(&hub, Act::Kick, "ana").await?;
    group.edit(&hub, after, "edited too late").await?;
    hub.read_ends(&[group.key]).await?;
    for _ in 0..4 {
        gather(&mut stream).await;
        stream.take_signals().await;
    }
    let text = written(&mut stream)?;
    assert!(text.contains("edited in time") && !text.contains("edited too late"), "{text}");
    let gap = format!("event: gap\ndata: {{\"topic\":\"{}\",\"from_seq\":3,\"to_seq\":3}}", group.topic);
    assert!(text.contains(&gap) && text.contains("\"code\":4") && text.contains("\"reason\":\"kicked\""), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_session_that_joins_after_the_topic_was_lost_is_not_shown_to_a_stream_that_lags() -> Tested {
    let (hub, session) = hub().await?;
    let group = Group::new(&hub, session).await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    gather(&mut stream).await;
    let active = hub.activate(group.key, &group.topic);
    active.presence.publish(&active.id);
    // Once before the stream was notified of the end, and once while it still has to show the log up to there.
    for round in 0..2 {
        if round == 0 {
            stream.take_signals().await;
            group.send(&hub, "unread").await?;
            group.act(&hub, Act::Kick, "ana").await?;
            hub.joins_changed(session);
        } else {
            stream.take_signals().await;
        }
        let name = format!("carl-{round}");
        let carl = sign_in(&hub, &name).await?;
        group.act(&hub, Act::Add, &name).await?;
        join(&hub, carl, &group.topic).await?;
        hub.refresh_presence(&active).await?;
        assert!(active.presence.publish(&active.id));
        active.notify_presence();
        let join_number = *stream.topics.keys().next().ok_or("a topic")?;
        stream.enqueue(join_number);
        gather(&mut stream).await;
    }
    hub.read_ends(&[group.key]).await?;
    for _ in 0..3 {
        stream.take_signals().await;
        gather(&mut stream).await;
    }
    let text = written(&mut stream)?;
    assert!(!text.contains("carl-"), "{text}");
    assert!(text.contains("unread") && text.contains("\"reason\":\"kicked\""), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_join_that_was_made_and_lost_between_two_reads_shows_the_log_up_to_its_end() -> Tested {
    let (hub, session) = hub().await?;
    let mut stream = open(&hub, session).await?;
    stream.take_signals().await;
    let group = Group::new(&hub, session).await?;
    group.send(&hub, "hello").await?;
    group.act(&hub, Act::Kick, "ana").await?;
    group.send(&hub, "after").await?;
    hub.joins_changed(session);
    for _ in 0..3 {
        stream.take_signals().await;
        gather(&mut stream).await;
        hub.joins_changed(session);
    }
    let text = written(&mut stream)?;
    let order = ["\"hello\"", "\"code\":4", "\"reason\":\"kicked\""].map(|part| text.find(part));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{text}");
    assert!(text.matches("event: left").count() == 1 && !text.contains("\"after\""), "{text}");
    assert!(!text.contains("event: presence"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_parked_stream_is_written_to_without_being_woken_and_wakes_for_anything_else() -> Tested {
    let (hub, session) = hub().await?;
    let group = Group::new(&hub, session).await?;
    let mut stream = Box::new(open(&hub, session).await?);
    while stream.next_piece().await.is_some() {}
    let (written, mut pieces) = mpsc::unbounded_channel();
    let sink = Arc::new(Pieces(written));
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = wakes.clone();
    let carried = tokio::spawn(async move {
        loop {
            while stream.next_piece().await.is_some() {}
            stream = stream.park(&sink, |_| Poll::<()>::Pending).await?;
            counted.fetch_add(1, Ordering::SeqCst);
        }
        #[expect(unreachable_code, reason = "it gives the task its type")]
        Ok::<(), ()>(())
    });
    let quiet = Duration::from_millis(50);
    tokio::time::sleep(quiet).await;
    let before = wakes.load(Ordering::SeqCst);
    // Twice: the second write uses the memory of the first.
    for (text, seq) in [("first", 2), ("second", 3)] {
        let id = MessageId(hub.inner.clock.uuid());
        let topic = group.topic.clone();
        let draft = Draft { id, topic, session: group.bea, content: content(text)?, key: None };
        let json = hub.inner.store.append(draft).await?.json;
        let entry = Entry { seq: Seq(seq), json, effect: Effect::None, edited: false };
        hub.appended(group.key, &group.topic, vec![entry]);
        let piece = tokio::time::timeout(Duration::from_secs(10), pieces.recv()).await?.ok_or("a piece")?;
        assert!(
            piece.starts_with("id: ") && piece.contains(&format!("\"seq\":{seq}")) && piece.contains(text),
            "{piece}"
        );
    }
    tokio::time::sleep(quiet).await;
    assert_eq!(wakes.load(Ordering::SeqCst), before, "it was not woken");
    hub.joins_changed(session);
    tokio::time::sleep(quiet).await;
    assert!(wakes.load(Ordering::SeqCst) > before);
    assert_eq!(hub.streams(), 1);
    carried.abort();
    assert!(carried.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(hub.streams(), 0, "nothing keeps a stream whose task has gone");
    Ok(())
}
