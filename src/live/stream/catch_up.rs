//! Catching up: entries that the tail does not hold are read from the log, in pages.

use tokio::sync::oneshot::error::TryRecvError;

use super::page_read::PageRead;
use super::state::Stream;
use crate::live::access;
use crate::model::Seq;
use crate::model::event_id::JoinNumber;
use crate::store::StoreError;

/// The bytes that one topic adds in its turn before the next topic has its own.
pub(super) const TURN_BYTES: usize = 8 * 1024;

impl Stream {
    /// Writes a page of the log as soon as it is there. Returns true if there is more. A poll waits for the page, because it
    /// answers with everything that there is.
    pub(super) async fn catch_up(&mut self, join_number: JoinNumber, last: Seq) -> Result<bool, StoreError> {
        let waits = self.is_poll();
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(false);
        };
        let active = topic.active.clone();
        let position = topic.position.seq;
        let join_end = topic.join_end;
        let begin = || PageRead::begin(&self.hub, &active, &topic.listener, position, last);
        let mut read = topic.page_read.take().unwrap_or_else(begin);
        let page = match read.page.try_recv() {
            Err(TryRecvError::Empty) if waits => read.page.await.ok(),
            Err(TryRecvError::Empty) => {
                topic.page_read = Some(read);
                return Ok(false);
            }
            received => received.ok(),
        };
        let page = page.unwrap_or_else(|| Err(StoreError::Unavailable("reading was given up".into())))?;
        if !access::may_show_page(&active, read.redactions) {
            return Ok(true);
        }
        let entries = &page.entries[page.entries.partition_point(|entry| entry.seq <= position)..];
        let Some(withheld) = self.access().withheld_edits(&active, join_end, entries).await? else {
            self.reload = true;
            return Ok(true);
        };
        let mut used = 0;
        for entry in entries {
            if used > TURN_BYTES {
                return Ok(true);
            }
            used += entry.json.len();
            if self.write_pruned_before(join_number, entry.seq) {
                return Ok(true);
            }
            if withheld.contains(&entry.seq) {
                self.write_gap(join_number, entry.seq, false);
            } else if !self.write_entry(join_number, entry) {
                return Ok(!self.is_closed(join_number));
            }
        }
        self.write_pruned_before(join_number, page.end.next());
        Ok(true)
    }

    /// Writes a gap for the entries that are missing before `next`: they were pruned. Returns true if there are any. One of
    /// them may have revoked this user's access, so the joins are read before anything else is shown.
    fn write_pruned_before(&mut self, join_number: JoinNumber, next: Seq) -> bool {
        let pruned = self.topics.get(&join_number).is_some_and(|topic| topic.position.seq.next() < next);
        if pruned {
            self.write_gap(join_number, Seq(next.0 - 1), true);
            self.reload = true;
        }
        pruned
    }

    fn is_closed(&self, join_number: JoinNumber) -> bool {
        self.topics.get(&join_number).is_none_or(|topic| topic.closed)
    }
}
