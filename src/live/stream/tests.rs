use std::error::Error;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::live::{Settings, Whisper};
use crate::model::Clock;
use crate::model::event_id::EventId;
use crate::store::{JoinMade, Joining, LeaveReason, NewSession, Pools, Store, TopicKey};

type Tested = Result<(), Box<dyn Error>>;

/// A hub on a database of its own, and a session there.
async fn hub(url: &str) -> Result<(Hub, SessionId), Box<dyn Error>> {
    let pools = Pools::connect(url, 2).await?;
    pools.migrate().await?;
    let clock = Clock::default();
    let store = Store::new(pools, clock.clone());
    let long = Duration::from_secs(600);
    let settings = Settings {
        epoch: 1,
        node: Uuid::now_v7(),
        presence_interval: long,
        presence_grace: long,
        presence_list: 10,
        lease: long,
        keepalive: long,
        max_age: long,
        replay: 10,
    };
    let (session, ana) = (SessionId(clock.uuid()), UserId::parse("ana").ok_or("an id")?);
    store.open_session(session, NewSession::Issued { id: ana, username: "Ana".into() }, long).await?;
    Ok((Hub::new(store, clock, settings), session))
}

async fn open(hub: &Hub, session: SessionId) -> Result<Stream, Box<dyn Error>> {
    let ana = UserId::parse("ana").ok_or("an id")?;
    Ok(Stream::open(hub, session, ana, Resume::Last, Form::Sse).await?)
}

async fn join(hub: &Hub, session: SessionId, topic: &TopicId) -> Result<TopicKey, Box<dyn Error>> {
    let joining = Joining { session, topic: topic.clone(), hidden: None, max: 10, grace: hub.grace() };
    let JoinMade { join, .. } = hub.inner.store.join(joining).await?.map_err(|refused| format!("{refused:?}"))?;
    hub.joins_changed(session);
    Ok(join.topic.key)
}

/// What the stream has to say now, without waiting for more.
fn said(stream: &mut Stream) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(stream.frames.take().to_vec())?)
}

#[tokio::test]
async fn what_is_whispered_after_a_join_has_ended_is_not_shown() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let room = TopicId::stored("room:a");
    let key = join(&hub, session, &room).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    stream.fill(CHUNK).await;
    hub.whisper(key, Whisper::Message("\"first\"".into()));
    stream.hear().await;
    // The stream has heard, and is about to look, when the join ends and somebody who was not in time whispers.
    hub.inner.store.leave(session, &room, LeaveReason::Blocked).await?;
    hub.joins_changed(session);
    hub.whisper(key, Whisper::Message("\"after\"".into()));
    stream.fill(CHUNK).await;
    stream.hear().await;
    stream.fill(CHUNK).await;
    let said = said(&mut stream)?;
    assert!(said.contains("\"reason\":\"blocked\"") && !said.contains("\"after\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_whisper_is_shown_though_another_join_has_changed() -> Tested {
    let folder = tempfile::tempdir()?;
    let (hub, session) = hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let key = join(&hub, session, &TopicId::stored("room:a")).await?;
    let mut stream = open(&hub, session).await?;
    stream.hear().await;
    stream.fill(CHUNK).await;
    hub.whisper(key, Whisper::Message("\"hello\"".into()));
    stream.hear().await;
    join(&hub, session, &TopicId::stored("room:b")).await?;
    for _ in 0..2 {
        stream.fill(CHUNK).await;
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
        stream.fill(CHUNK).await;
        hub.joins_changed(session);
    }
    let heard = said(&mut stream)?;
    assert_eq!(heard.matches("event: left\ndata: {\"topic\":\"room:a\",\"reason\":\"kicked\"}").count(), 1, "{heard}");
    assert_eq!(heard.matches("event: left").count(), 1, "{heard}");
    // To hold a later id proves it: it is told no more.
    let mut id = Vec::new();
    stream.positions.write_id(&[], &mut id);
    let id = EventId::decode(hub.tag(session), &String::from_utf8(id)?).ok_or("an id")?;
    let ana = UserId::parse("ana").ok_or("an id")?;
    let mut again = Stream::open(&hub, session, ana, Resume::Id(id), Form::Sse).await?;
    let heard = said(&mut again)?;
    assert!(heard.contains("event: ready") && !heard.contains("event: left"), "{heard}");
    Ok(())
}
