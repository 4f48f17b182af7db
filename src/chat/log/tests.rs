use std::error::Error;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;
use crate::live::testing;
use crate::model::{Content, MessageId};

/// A draft that came at this time.
fn waiting(session: u128, since: Instant) -> Result<Waiting, Box<dyn Error>> {
    let draft = Draft {
        id: MessageId(Uuid::now_v7()),
        topic: TopicId::stored("room:a"),
        session: SessionId(Uuid::from_u128(session)),
        content: Content::new(&RawValue::from_string("1".into())?)?,
        key: None,
    };
    let (reply, _) = oneshot::channel();
    Ok(Waiting { draft, since, reply })
}

#[tokio::test]
async fn a_draft_is_held_back_where_others_are_expected_until_enough_have_come() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (hub, store) = testing::hub(&format!("sqlite://{}/p.db?mode=rwc", folder.path().display())).await?;
    let writer = Writer { store, hub };
    // However slow the machine is, that is not over yet.
    let at = Instant::now() + Duration::from_secs(60);

    let mut alone = Batches::new(writer.clone(), 1);
    alone.take_in(&mut vec![waiting(0, Instant::now())?]);
    assert!(alone.begin().is_none() && alone.waiting.is_empty(), "nobody else comes");

    let mut batches = Batches::new(writer, 1);
    (100..110).for_each(|stranger| batches.company.came(SessionId(Uuid::from_u128(stranger)), at));
    batches.take_in(&mut vec![waiting(0, at)?]);
    assert_eq!(batches.begin(), Some(at + company::HOLD));
    batches.take_in(&mut (1..company::ENOUGH as u128).map(|nth| waiting(nth, at)).collect::<Result<_, _>>()?);
    assert_eq!(batches.begin(), Some(at), "that is when they came");
    Ok(())
}

#[tokio::test]
async fn who_holds_drafts_back_is_told_once_enough_have_come() -> Result<(), Box<dyn Error>> {
    let (drafts, _queue) = mpsc::channel(QUEUE);
    let log = Log { drafts, enough: Arc::default() };
    for nth in 1..company::ENOUGH as u128 {
        log.push(waiting(nth, Instant::now())?)?;
    }
    let mut told = Box::pin(log.enough.notified());
    assert!(futures_util::poll!(&mut told).is_pending());
    log.push(waiting(0, Instant::now())?)?;
    assert!(futures_util::poll!(&mut told).is_ready());
    Ok(())
}
