//! Writing a checkpoint, in a task of its own.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::model::CheckpointId;
use crate::model::event_id::{JoinNumber, Progress};
use crate::store::StoreError;

/// The id of the stored checkpoint; `None` if a newer stream has replaced this one.
type Written = Result<Option<CheckpointId>, StoreError>;

/// A checkpoint that is being written.
#[derive(Debug)]
pub(super) struct CheckpointWrite {
    pub(super) task: JoinHandle<Written>,
    /// The positions in it.
    pub(super) positions: Vec<(JoinNumber, Progress)>,
    /// The joins whose end was sent before it, and which therefore are not in it.
    pub(super) ended: Vec<JoinNumber>,
    pub(super) result: Option<Written>,
}

impl CheckpointWrite {
    pub(super) fn is_finished(&self) -> bool {
        self.result.is_some() || self.task.is_finished()
    }

    /// Waits for the result.
    pub(super) async fn finish(&mut self) {
        if self.result.is_none() {
            poll_fn(|cx| self.poll_finished(cx)).await;
        }
    }

    /// Polls for the result, which must not be there already.
    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let aborted = |_| Err(StoreError::Unavailable("storing a checkpoint was given up".into()));
        self.result = Some(ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(aborted));
        Poll::Ready(())
    }
}
