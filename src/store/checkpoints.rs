//! Checkpoints: stored positions of a stream, numbered per session, which event ids name.

use std::collections::BTreeMap;

use super::durability::Durability;
use super::pool::{Row, Transaction};
use super::{Store, StoreError, dialect};
use crate::model::event_id::{JoinNumber, Progress, positions_from_bytes, positions_to_bytes};
use crate::model::{CheckpointId, SessionId, StreamId};

/// Checkpoints before the one that a client resumed from are deleted, except this many of the latest.
const KEPT_AFTER_RESUME: i64 = 8;
/// The largest number of checkpoints of a session whose client never resumes.
const MAX_CHECKPOINTS: i64 = 1_000;

/// A stored checkpoint, with what has moved since.
pub(super) struct Checkpoint {
    /// The number that the session's next join would have got.
    pub(super) next_join_number: u32,
    pub(super) positions: BTreeMap<JoinNumber, Progress>,
}

impl Store {
    /// Stores the positions of a stream as the session's next checkpoint; `None` if another stream has replaced it.
    /// `next_join_number` is the first join number that the stream does not know.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn store_checkpoint(
        &self,
        session: SessionId,
        stream: StreamId,
        next_join_number: JoinNumber,
        positions: Vec<(JoinNumber, Progress)>,
    ) -> Result<Option<CheckpointId>, StoreError> {
        self.write(Durability::Full, move |tx| {
            Box::pin(async move {
                // Raw: the new number comes from the statement that also checks the stream.
                let sql = "UPDATE session SET last_checkpoint = last_checkpoint + 1 \
                           WHERE id = $1 AND stream_id = $2 AND ended_at IS NULL RETURNING last_checkpoint";
                let row = dialect::row(tx, sql, vec![session.0.into(), stream.stored().into()]).await?;
                let Some(row) = row else { return Ok(None) };
                let number: i64 = dialect::get(&row, "last_checkpoint")?;
                let next_join_number = i32::try_from(next_join_number.0).unwrap_or(i32::MAX);
                insert(tx, session, number, next_join_number, &positions).await?;
                Ok(Some(CheckpointId(number.unsigned_abs())))
            })
        })
        .await
    }
}

/// Reads the checkpoint of an event id that a client resumes from, and records it as the session's last; `None` if it is
/// gone. To hold an event id proves that everything before it was received: older checkpoints are deleted.
pub(super) async fn resume(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(JoinNumber, Progress)],
    next: i64,
) -> Result<Option<Checkpoint>, StoreError> {
    let Some(base) = read(tx, session, number, moved).await? else {
        return Ok(None);
    };
    // Raw: every opening of a stream with an event id runs these two statements.
    let sql = "UPDATE session SET resume_checkpoint = $1, resume_moved = $2 WHERE id = $3";
    dialect::exec(tx, sql, vec![number.into(), positions_to_bytes(moved).into(), session.0.into()]).await?;
    let oldest = number.min(next - KEPT_AFTER_RESUME);
    let sql = "DELETE FROM checkpoint WHERE session_id = $1 AND number < $2";
    dialect::exec(tx, sql, vec![session.0.into(), oldest.into()]).await?;
    Ok(Some(base))
}

/// Reads the checkpoint that the session resumed from last, which `row` of the session names.
pub(super) async fn last_resumed(
    tx: &Transaction,
    session: SessionId,
    row: &Row,
) -> Result<Option<Checkpoint>, StoreError> {
    let number: Option<i64> = dialect::get(row, "resume_checkpoint")?;
    let moved: Option<Vec<u8>> = dialect::get(row, "resume_moved")?;
    let (Some(number), Some(moved)) = (number, moved) else {
        return Ok(None);
    };
    let moved = positions_from_bytes(&moved).ok_or(StoreError::Corrupt("positions"))?;
    read(tx, session, number, &moved).await
}

/// Reads a checkpoint and adds what has moved since.
// Raw: every opening of a stream with an event id runs it.
async fn read(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    moved: &[(JoinNumber, Progress)],
) -> Result<Option<Checkpoint>, StoreError> {
    let sql = "SELECT next_join_number, positions FROM checkpoint WHERE session_id = $1 AND number = $2";
    let Some(row) = dialect::row(tx, sql, vec![session.0.into(), number.into()]).await? else {
        return Ok(None);
    };
    let stored: Vec<u8> = dialect::get(&row, "positions")?;
    let stored = positions_from_bytes(&stored).ok_or(StoreError::Corrupt("positions"))?;
    let mut positions: BTreeMap<_, _> = stored.into_iter().collect();
    positions.extend(moved.iter().copied());
    let next_join_number: i32 = dialect::get(&row, "next_join_number")?;
    Ok(Some(Checkpoint { next_join_number: next_join_number.unsigned_abs(), positions }))
}

/// Inserts a checkpoint, and deletes the oldest if the session has too many.
pub(super) async fn insert(
    tx: &Transaction,
    session: SessionId,
    number: i64,
    next_join_number: i32,
    positions: &[(JoinNumber, Progress)],
) -> Result<(), StoreError> {
    // Raw: every opening of a stream runs it.
    let sql = "INSERT INTO checkpoint (session_id, number, next_join_number, positions) VALUES ($1, $2, $3, $4)";
    let values = vec![session.0.into(), number.into(), next_join_number.into(), positions_to_bytes(positions).into()];
    dialect::exec(tx, sql, values).await?;
    if number > MAX_CHECKPOINTS {
        // The one that the session resumed from last stays: a stream without an event id starts from it.
        let sql = "DELETE FROM checkpoint WHERE session_id = $1 AND number <= $2 \
                   AND number <> COALESCE((SELECT resume_checkpoint FROM session WHERE id = $1), 0)";
        dialect::exec(tx, sql, vec![session.0.into(), (number - MAX_CHECKPOINTS).into()]).await?;
    }
    Ok(())
}
