use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::value::RawValue;
use uuid::Uuid;

use super::scheduler::{Next, Scheduler};
use super::*;
use crate::model::{Clock, Content, MessageId, Millis, SessionId, TopicId, UserId};
use crate::store::testing::{TestDatabase, TestStore};
use crate::store::{JoinRequest, NewSession, Store, dialect, users};

const TOPIC: &str = "room:a";

fn session(nth: u128) -> SessionId {
    SessionId(Uuid::from_u128(nth))
}

fn draft(session: SessionId, content: &str) -> Result<Draft, Box<dyn Error>> {
    Ok(Draft {
        id: MessageId(Uuid::now_v7()),
        topic: TopicId::stored(TOPIC),
        session,
        content: Content::new(&RawValue::from_string(content.into())?)?,
        key: None,
    })
}

fn waiting(nth: u128, since: Instant) -> Result<WaitingDraft, Box<dyn Error>> {
    let (reply, _) = oneshot::channel();
    Ok(WaitingDraft { draft: draft(session(nth), "1")?, since, reply })
}

/// A queue whose scheduler does not run.
fn queue(database: &TestDatabase) -> (WriteQueue, Scheduler) {
    let (queue, incoming) = WriteQueue::new(None);
    (queue, Scheduler::new(database.pools.write.clone(), incoming, 1, || Millis(0)))
}

#[tokio::test]
async fn a_draft_waits_where_more_are_expected_until_the_target_is_reached() -> Result<(), Box<dyn Error>> {
    let database = TestDatabase::empty().await?;
    // However slow the machine is, that time has not passed yet.
    let at = Instant::now() + Duration::from_secs(60);

    let (alone, mut scheduler) = queue(&database);
    alone.push(waiting(0, Instant::now())?)?;
    scheduler.receive_drafts();
    assert_eq!(scheduler.begin(), Next::Event, "no more is expected, so it has begun");
    assert_eq!(scheduler.running.len(), 1);

    let (queue, mut scheduler) = queue(&database);
    for nth in 100..110 {
        scheduler.delay.record_arrival(session(nth), at);
    }
    queue.push(waiting(0, at)?)?;
    scheduler.receive_drafts();
    assert_eq!(scheduler.begin(), Next::At(at + batch_delay::MAX_DELAY));
    for nth in 1..TARGET_BATCH as u128 {
        queue.push(waiting(nth, at)?)?;
    }
    scheduler.receive_drafts();
    assert_eq!(scheduler.begin(), Next::At(at), "that is when they arrived");
    Ok(())
}

#[tokio::test]
async fn a_queue_that_lingers_is_notified_once_the_target_is_reached() -> Result<(), Box<dyn Error>> {
    let (queue, _incoming) = WriteQueue::new(None);
    for nth in 1..TARGET_BATCH as u128 {
        queue.push(waiting(nth, Instant::now())?)?;
    }
    let mut notified = Box::pin(queue.target_reached.notified());
    assert!(futures_util::poll!(&mut notified).is_pending());
    queue.push(waiting(0, Instant::now())?)?;
    assert!(futures_util::poll!(&mut notified).is_ready());
    Ok(())
}

/// A store with two sessions that have joined the topic, and a trigger that refuses the content `"bad"`.
async fn store() -> Result<TestStore, Box<dyn Error>> {
    let store = TestStore::new(Clock::default()).await?;
    for nth in 1..=2 {
        let id = UserId::parse(&format!("user-{nth}")).ok_or("an id")?;
        let user = NewSession::Issued { id, username: "Ana".into() };
        store.open_session(session(nth), user, Duration::from_secs(60)).await?;
        let request = JoinRequest {
            session: session(nth),
            topic: TopicId::stored(TOPIC),
            hidden: None,
            max: 10,
            grace: Duration::from_secs(10),
        };
        store.join(request).await?.map_err(|refusal| format!("{refusal:?}"))?;
    }
    const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON message WHEN NEW.content = '\"bad\"' \
                          BEGIN SELECT RAISE(ABORT, 'bad'); END";
    store.write(Durability::Full, |tx| Box::pin(dialect::exec(tx, REFUSE, vec![]))).await?;
    Ok(store)
}

/// Counts the commits in SQLite's write-ahead log: the frames that carry the size of the database. A checkpoint would
/// start the log anew, after far more pages than a test writes. See <https://sqlite.org/fileformat2.html#walformat>.
fn commits(folder: &Path) -> Result<usize, Box<dyn Error>> {
    let log = std::fs::read(folder.join("p.db-wal"))?;
    let number = |at: usize| -> Result<u32, Box<dyn Error>> { Ok(u32::from_be_bytes(log[at..at + 4].try_into()?)) };
    let page = number(8)? as usize;
    let mut count = 0;
    for frame in (32..log.len()).step_by(24 + page) {
        count += usize::from(number(frame + 4)? != 0);
    }
    Ok(count)
}

/// Keeps the writer busy until the sender is dropped; returns once it is.
async fn occupy(store: &Store) -> Result<std::sync::mpsc::Sender<()>, Box<dyn Error>> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let work = store.write(Durability::Full, move |_| {
            Box::pin(async move {
                let _ = begun.send(());
                let _ = released.recv();
                Err::<(), _>(StoreError::Corrupt("nothing: this is a test"))
            })
        });
        work.await
    });
    has_begun.await?;
    Ok(release)
}

fn create_table(store: &Store, name: &'static str) -> impl Future<Output = Result<u64, StoreError>> {
    store.write(Durability::Delayed, move |tx| Box::pin(dialect::exec(tx, format!("CREATE TABLE {name} (a)"), vec![])))
}

async fn exists(store: &Store, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM sqlite_master WHERE name = $1";
    Ok(dialect::row(store.read(), sql, vec![name.into()]).await?.is_some())
}

#[tokio::test]
async fn a_draft_and_another_write_that_wait_at_the_same_time_share_one_commit() -> Result<(), Box<dyn Error>> {
    let store = store().await?;
    let delivered = Arc::new(AtomicUsize::new(0));
    let count = delivered.clone();
    store.on_new_entries(move |topics| {
        count.fetch_add(topics.values().map(|new| new.entries.len()).sum(), Ordering::SeqCst);
    });
    let before = commits(store.folder())?;
    let busy = occupy(&store).await?;
    let mut sends = [Box::pin(store.append(draft(session(1), "1")?)), Box::pin(store.append(draft(session(2), "2")?))];
    let mut write = Box::pin(create_table(&store, "t"));
    assert!(futures_util::poll!(&mut sends[0]).is_pending());
    assert!(futures_util::poll!(&mut sends[1]).is_pending());
    assert!(futures_util::poll!(&mut write).is_pending());
    drop(busy);
    write.await?;
    assert_eq!(delivered.load(Ordering::SeqCst), 2, "delivered before anything is answered");
    for send in sends {
        assert!(send.await?.fresh);
    }
    assert_eq!(commits(store.folder())? - before, 1);
    assert!(exists(&store, "t").await?);
    Ok(())
}

#[tokio::test]
async fn whatever_fails_in_a_shared_transaction_takes_nothing_with_it() -> Result<(), Box<dyn Error>> {
    let store = store().await?;
    let busy = occupy(&store).await?;
    let mut good = Box::pin(store.append(draft(session(1), "1")?));
    let mut bad = Box::pin(store.append(draft(session(2), "\"bad\"")?));
    let mut refused = Box::pin(store.append(draft(session(3), "3")?));
    let mut write = Box::pin(create_table(&store, "t"));
    let mut failing = Box::pin(store.write(Durability::Full, |tx| {
        Box::pin(async move {
            dialect::exec(tx, "CREATE TABLE u (a)", vec![]).await?;
            dialect::exec(tx, "this is no statement", vec![]).await
        })
    }));
    let mut panicking = Box::pin(store.write(Durability::Full, |tx| {
        Box::pin(async move {
            dialect::exec(tx, "CREATE TABLE v (a)", vec![]).await?;
            let user = users::find(tx, &UserId::parse("user-1").ok_or(StoreError::Corrupt("id"))?).await?;
            assert!(user.is_none(), "as a fault in a write transaction would");
            Ok(())
        })
    }));
    assert!(futures_util::poll!(&mut good).is_pending());
    assert!(futures_util::poll!(&mut bad).is_pending());
    assert!(futures_util::poll!(&mut refused).is_pending());
    assert!(futures_util::poll!(&mut write).is_pending());
    assert!(futures_util::poll!(&mut failing).is_pending());
    assert!(futures_util::poll!(&mut panicking).is_pending());
    drop(busy);
    assert!(good.await?.fresh);
    assert!(matches!(bad.await, Err(AppendError::Failed(StoreError::Database(_)))));
    assert!(matches!(refused.await, Err(AppendError::Refused(_))), "an unknown session");
    write.await?;
    assert!(matches!(failing.await, Err(StoreError::Database(_))));
    assert!(matches!(panicking.await, Err(StoreError::Unavailable(_))));
    assert!(exists(&store, "t").await?);
    assert!(!exists(&store, "u").await?);
    assert!(!exists(&store, "v").await?);
    let topic = dialect::row(store.read(), "SELECT last_seq FROM topic", vec![]).await?.ok_or("a topic")?;
    assert_eq!(dialect::get::<i64>(&topic, "last_seq")?, 1, "what was not stored has used no seq");
    Ok(())
}

#[tokio::test]
async fn what_has_arrived_is_written_before_the_database_closes() -> Result<(), Box<dyn Error>> {
    let store = store().await?;
    let busy = occupy(&store).await?;
    let mut send = Box::pin(store.append(draft(session(1), "1")?));
    let mut write = Box::pin(create_table(&store, "t"));
    assert!(futures_util::poll!(&mut send).is_pending());
    assert!(futures_util::poll!(&mut write).is_pending());
    let mut close = Box::pin(store.close());
    assert!(futures_util::poll!(&mut close).is_pending());
    drop(busy);
    close.await;
    assert!(send.await?.fresh);
    write.await?;
    assert!(matches!(store.append(draft(session(1), "1")?).await, Err(AppendError::Unavailable)));
    assert!(matches!(create_table(&store, "u").await, Err(StoreError::Unavailable(_))));
    Ok(())
}
