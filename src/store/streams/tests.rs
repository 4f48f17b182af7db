use super::*;
use crate::model::event_id::EventIdKind;
use crate::model::{CheckpointId, Clock, UserId};
use crate::store::pool::Pool;
use crate::store::testing::TestStore;
use crate::store::{JoinRequest, NewSession, sqlite};

/// Returns the durability of the opening of a stream.
async fn durability(store: &Store, session: SessionId, resume: Resume) -> Result<Durability, StoreError> {
    let now = store.now();
    let grace = Duration::from_secs(10);
    let open = StreamRequest { session, instance: Uuid::nil(), resume, grace };
    let opened = store.write(Durability::Delayed, move |tx| {
        Box::pin(async move { Ok(open_stream(tx, &open, now).await?.map(|_| tx.durability())) })
    });
    opened.await?.map_err(|_| StoreError::Corrupt("session"))
}

/// Returns true if SQLite has committed something that is not on the disk yet.
async fn is_due(store: &Store) -> Result<bool, StoreError> {
    let Pool::Sqlite(writer) = &store.inner.pools.write else { return Ok(false) };
    Ok(writer.call(sqlite::Connection::due).await?.is_some())
}

/// A position that only a checkpoint holds must not be lost, or a client would receive again what it has.
#[tokio::test]
async fn a_checkpoint_that_says_something_is_durable_in_full() -> Result<(), Box<dyn std::error::Error>> {
    let store = TestStore::new(Clock::default()).await?;
    let session = SessionId(Uuid::from_u128(1));
    let whose = NewSession::Issued { id: UserId::parse("ana").ok_or("an id")?, username: "Ana".into() };
    store.open_session(session, whose, Duration::from_secs(60)).await?;
    assert_eq!(durability(&store, session, Resume::Last).await?, Durability::Delayed);
    let topic = TopicId::stored("room:a");
    let joining = JoinRequest { session, topic, hidden: None, max: 10, grace: Duration::from_secs(10) };
    store.join(joining).await?.map_err(|refused| format!("{refused:?}"))?;
    assert_eq!(durability(&store, session, Resume::Last).await?, Durability::Delayed);
    assert_eq!(durability(&store, session, Resume::Now).await?, Durability::Full);
    store.write(Durability::Full, |tx| Box::pin(dialect::exec(tx, "UPDATE topic SET last_seq = 1", vec![]))).await?;
    assert_eq!(durability(&store, session, Resume::Last).await?, Durability::Full, "something is to be sent");
    let open = StreamRequest { session, instance: Uuid::nil(), resume: Resume::Last, grace: Duration::from_secs(10) };
    store.open_stream(open).await?.map_err(|refused| format!("{refused:?}"))?;
    assert!(!is_due(&store).await?, "it is on the disk, and what came before it");
    let moved = vec![(JoinNumber(1), Progress::SentUpTo(Seq(1)))];
    let given =
        Resume::Id(EventId { checkpoint: CheckpointId(2), moved, digests: Vec::new(), kind: EventIdKind::Position });
    assert_eq!(durability(&store, session, given).await?, Durability::Full, "the client has resumed from an event id");
    Ok(())
}
