use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::live::testing;
use crate::model::event_id::EventId;
use crate::model::group::Act;
use crate::model::{Content, EphemeralEvent, GroupId, MessageId};
use crate::store::{
    Draft, JoinOutcome, JoinRequest, LeaveReason, MemberAct, MemberChanged, NewGroup, NewSession, StoredMessage,
    Target, TopicKey,
};

type Tested = Result<(), Box<dyn Error>>;

/// A hub on a database of its own, and a session there.
async fn hub(url: &str) -> Result<(Hub, SessionId), Box<dyn Error>> {
    let (hub, _) = testing::hub(url).await?;
    let session = sign_in(&hub, "ana").await?;
    Ok((hub, session))
}

fn user(name: &str) -> Result<UserId, Box<dyn Error>> {
    Ok(UserId::parse(name).ok_or("an id")?)
}

async fn sign_in(hub: &Hub, name: &str) -> Result<SessionId, Box<dyn Error>> {
    let (session, long) = (SessionId(hub.inner.clock.uuid()), Duration::from_secs(600));
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

    /// What Bea does to somebody, without a word to the hub.
    async fn act(&self, hub: &Hub, act: Act, target: &str) -> Result<MemberChanged, Box<dyn Error>> {
        let act = MemberAct { group: self.id, act, actor: user("bea")?, target: user(target)? };
        Ok(hub.inner.store.act_in_group(act).await?.map_err(|refused| format!("{refused:?}"))?)
    }

    /// What Bea says, without a word to the hub.
    async fn say(&self, hub: &Hub, text: &str) -> Result<MessageId, Box<dyn Error>> {
        let (id, topic) = (MessageId(hub.inner.clock.uuid()), self.topic.clone());
        let draft = Draft { id, topic, session: self.bea, content: content(text)?, key: None };
        let done = hub.inner.store.append(&Arc::from([draft])).await?.pop().ok_or("an answer")?;
        let StoredMessage { message, .. } = done.map_err(|refused| format!("{refused:?}"))?;
        Ok(message.id)
    }

    /// What Bea says instead.
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

/// Adds what is ready, pages of the log included, and takes note of nothing else.
async fn fill(stream: &mut Stream) {
    for _ in 0..5_000 {
        stream.fill(CHUNK).await;
        let reading =
            stream.topics.iter().filter(|(_, topic)| topic.reading.is_some()).map(|(join_number, _)| *join_number);
        let reading: Vec<JoinNumber> = reading.collect();
        if reading.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        reading.into_iter().for_each(|join_number| stream.enqueue(join_number));
    }
    panic!("a page of the log does not come");
}

/// What the stream has to say now, without waiting for more.
fn said(stream: &mut Stream) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(stream.frames.take().to_vec())?)
}

#[tokio::test]
async fn an_ephemeral_message_after_a_join_has_ended_is_not_shown() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let room = TopicId::stored("room:a");
    let key = join(&hub, session, &room).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    fill(&mut stream).await;
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"first\"".into()));
    stream.hear().await;
    // The stream has heard, and is about to look, when the join ends and somebody who was not in time whispers.
    hub.inner.store.leave(session, &room, LeaveReason::Blocked).await?;
    hub.joins_changed(session);
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"after\"".into()));
    fill(&mut stream).await;
    stream.hear().await;
    fill(&mut stream).await;
    let said = said(&mut stream)?;
    assert!(said.contains("\"reason\":\"blocked\"") && !said.contains("\"after\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_ephemeral_message_is_shown_though_another_join_has_changed() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let key = join(&hub, session, &TopicId::stored("room:a")).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    fill(&mut stream).await;
    hub.send_ephemeral(key, Seq(0), EphemeralEvent::Message("\"hello\"".into()));
    stream.hear().await;
    join(&hub, session, &TopicId::stored("room:b")).await?;
    for _ in 0..2 {
        fill(&mut stream).await;
        stream.hear().await;
    }
    let said = said(&mut stream)?;
    assert!(said.contains("\"hello\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_join_that_came_and_went_unseen_is_told_to_have_ended_once() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    for room in ["room:a", "room:b"] {
        join(&hub, session, &TopicId::stored(room)).await?;
    }
    hub.inner.store.leave(session, &TopicId::stored("room:a"), LeaveReason::Kicked).await?;
    hub.joins_changed(session);
    for _ in 0..2 {
        stream.hear().await;
        fill(&mut stream).await;
        hub.joins_changed(session);
    }
    let heard = said(&mut stream)?;
    assert_eq!(heard.matches("event: left\ndata: {\"topic\":\"room:a\",\"reason\":\"kicked\"}").count(), 1, "{heard}");
    assert_eq!(heard.matches("event: left").count(), 1, "{heard}");
    // To hold a later id proves it: it is told no more.
    let mut id = Vec::new();
    stream.positions.write_id(&[], &mut Vec::new(), &mut id);
    let id = EventId::decode(hub.tag(session), &String::from_utf8(id)?).ok_or("an id")?;
    let ana = UserId::parse("ana").ok_or("an id")?;
    let mut again = Stream::open(&hub, session, ana, Resume::Id(id), Format::Sse).await?;
    let heard = said(&mut again)?;
    assert!(heard.contains("event: ready") && !heard.contains("event: left"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn what_is_edited_after_the_topic_was_lost_is_not_shown_to_a_stream_that_lags() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let group = Group::new(&hub, session).await?;
    let before = group.say(&hub, "before").await?;
    let after = group.say(&hub, "after").await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    group.edit(&hub, before, "edited in time").await?;
    // Without a hint: the log alone has to tell of the end.
    group.act(&hub, Act::Kick, "ana").await?;
    group.edit(&hub, after, "edited too late").await?;
    hub.read_ends(&[group.key]).await?;
    for _ in 0..4 {
        fill(&mut stream).await;
        stream.hear().await;
    }
    let said = said(&mut stream)?;
    assert!(said.contains("edited in time") && !said.contains("edited too late"), "{said}");
    let gap = format!("event: gap\ndata: {{\"topic\":\"{}\",\"from_seq\":3,\"to_seq\":3}}", group.topic);
    assert!(said.contains(&gap) && said.contains("\"code\":4") && said.contains("\"reason\":\"kicked\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn who_comes_after_the_topic_was_lost_is_not_shown_to_a_stream_that_lags() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let group = Group::new(&hub, session).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    fill(&mut stream).await;
    let hot = hub.heat(group.key, &group.topic);
    hot.presence.publish(&hot.id);
    // Once before the stream has heard of the end, and once while it still has to show the log up to there.
    for round in 0..2 {
        if round == 0 {
            stream.hear().await;
            group.say(&hub, "unread").await?;
            group.act(&hub, Act::Kick, "ana").await?;
            hub.joins_changed(session);
        } else {
            stream.hear().await;
        }
        let name = format!("carl-{round}");
        let carl = sign_in(&hub, &name).await?;
        group.act(&hub, Act::Add, &name).await?;
        join(&hub, carl, &group.topic).await?;
        hub.look(&hot).await?;
        assert!(hot.presence.publish(&hot.id));
        hot.wake_for_presence();
        let join_number = *stream.topics.keys().next().ok_or("a topic")?;
        stream.enqueue(join_number);
        fill(&mut stream).await;
    }
    hub.read_ends(&[group.key]).await?;
    for _ in 0..3 {
        stream.hear().await;
        fill(&mut stream).await;
    }
    let said = said(&mut stream)?;
    assert!(!said.contains("carl-"), "{said}");
    assert!(said.contains("unread") && said.contains("\"reason\":\"kicked\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_join_that_was_lost_unseen_shows_the_log_up_to_its_end() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    let group = Group::new(&hub, session).await?;
    group.say(&hub, "hello").await?;
    group.act(&hub, Act::Kick, "ana").await?;
    group.say(&hub, "after").await?;
    hub.joins_changed(session);
    for _ in 0..3 {
        stream.hear().await;
        fill(&mut stream).await;
        hub.joins_changed(session);
    }
    let said = said(&mut stream)?;
    let order = ["\"hello\"", "\"code\":4", "\"reason\":\"kicked\""].map(|part| said.find(part));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{said}");
    assert!(said.matches("event: left").count() == 1 && !said.contains("\"after\""), "{said}");
    assert!(!said.contains("event: presence"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_stream_at_rest_is_written_to_without_being_woken_and_wakes_for_anything_else() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let group = Group::new(&hub, session).await?;
    let mut stream = Box::new(open(&hub, session).await?);
    while stream.next_chunk().await.is_some() {}
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
    let socket = Arc::new(listener.accept().await?.0);
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = wakes.clone();
    let carried = tokio::spawn(async move {
        loop {
            while stream.next_chunk().await.is_some() {}
            stream = stream.rest(&socket, |_| Poll::<()>::Pending).await?;
            counted.fetch_add(1, Ordering::SeqCst);
        }
        #[expect(unreachable_code, reason = "it says what the task answers")]
        Ok::<(), ()>(())
    });
    let quiet = Duration::from_millis(50);
    tokio::time::sleep(quiet).await;
    let before = wakes.load(Ordering::SeqCst);
    // Twice: the second finds what the first has left.
    for (text, seq) in [("first", 2), ("second", 3)] {
        let (id, topic) = (MessageId(hub.inner.clock.uuid()), group.topic.clone());
        let draft = Draft { id, topic, session: group.bea, content: content(text)?, key: None };
        let stored = hub.inner.store.append(&Arc::from([draft])).await?.pop().ok_or("an answer")?;
        let entry = stored.map_err(|refused| format!("{refused:?}"))?.message.render();
        hub.appended(group.key, &group.topic, vec![entry]);
        let mut read = vec![0; 4096];
        let length = client.read(&mut read).await?;
        let chunk = String::from_utf8(read[..length].to_vec())?;
        let (head, frame) = chunk.split_once("\r\n").ok_or("a chunk")?;
        assert_eq!(usize::from_str_radix(head, 16)?, frame.len() - 2, "{chunk}");
        assert!(
            frame.starts_with("id: ") && frame.contains(&format!("\"seq\":{seq}")) && frame.contains(text),
            "{chunk}"
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
