//! History: the entries of a topic in pages, in either direction.
//!
//! A *listing* is all pages of one direction. Its cursors lead to the next page, or back to the one before. A page that
//! is reached by going back is read against the direction of the listing, and then reversed.

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use crate::model::cursor::{Direction, HistoryCursor};
use crate::model::{Message, Millis, Seq, TopicId};
use crate::store::{LogRange, TopicRow};

/// The start of the first page of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryStart {
    /// The newest entry if the listing is backward, the oldest if it is forward.
    End,
    /// This entry.
    Seq(Seq),
    /// Backward: the last entry that was created at this time or before. Forward: the first that was created at this
    /// time or after.
    Time(Millis),
}

/// A request for a page of history.
#[derive(Clone, Debug)]
pub(crate) struct HistoryQuery {
    /// The order of the listing.
    pub direction: Direction,
    /// The largest number of messages of the page, 1 to 100.
    pub limit: usize,
    /// A cursor of an earlier page, to go on from it. A query with a cursor has no `start` of its own.
    pub cursor: Option<String>,
    /// The start of the first page.
    pub start: HistoryStart,
    /// True if edits and removals (codes 6 and 7) are listed, too.
    pub changes: bool,
}

/// A page of history.
#[derive(Clone, Debug)]
pub(crate) struct HistoryPage {
    /// The messages, in the order of the listing.
    pub messages: Vec<Message>,
    /// The cursor of the next page. `None` at the end of a backward listing; a forward one can always go on, as new
    /// messages are added at its end.
    pub next: Option<String>,
    /// The cursor of the page before this one; `None` if there is none.
    pub prev: Option<String>,
}

/// The position of a page before it is read.
#[derive(Clone, Copy, Debug)]
struct PagePosition {
    /// The order of the listing.
    direction: Direction,
    /// True if the page comes before the one that the cursor was taken from. It is read towards the start of the
    /// listing.
    back: bool,
    /// The first entry that the page may hold, in the order in which it is read.
    from: Seq,
    /// True if edits and removals are listed, too.
    changes: bool,
}

impl PagePosition {
    /// The entries of the listing that start at `from` and go on in `direction`.
    fn range(self, direction: Direction, from: Seq) -> LogRange {
        LogRange { direction, from, changes: self.changes }
    }

    fn cursor(self, topic: &TopicId, back: bool, beyond: Seq) -> String {
        HistoryCursor { direction: self.direction, back, beyond }.encode(topic)
    }

    /// The first and the last entry of the page, in the order of the listing. An empty page has its position between
    /// its two neighbours.
    fn bounds(self, messages: &[Message], last_seq: Seq) -> (Seq, Seq) {
        if let (Some(first), Some(last)) = (messages.first(), messages.last()) {
            return (first.seq, last.seq);
        }
        match self.direction {
            Direction::Forward => {
                let position = Seq(self.from.0.clamp(0, last_seq.0.saturating_add(1)));
                let before = Seq(position.0.saturating_sub(1).max(0));
                (position, if self.back { position } else { before })
            }
            Direction::Backward => {
                let position = self.from.min(last_seq);
                (position, position.next())
            }
        }
    }
}

impl Chat {
    /// Reads a page of history. No join is needed.
    ///
    /// # Errors
    /// [`ChatError::BadCursor`], [`ChatError::NotFound`] if the caller may not see the topic, or a failure of the
    /// database.
    pub(crate) async fn history(
        &self,
        caller: &Caller,
        topic: &TopicId,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, ChatError> {
        let row = self.visible(topic, &caller.user.user_id).await?;
        let decode = |text: &String| HistoryCursor::decode(text, topic, query.direction).ok_or(ChatError::BadCursor);
        let cursor = query.cursor.as_ref().map(decode).transpose()?;
        let Some(row) = row else {
            return Ok(page_of_unused_dm(topic, query.direction, cursor));
        };
        let (from, back) = match cursor {
            Some(cursor) => (cursor.from(), cursor.back),
            None => (self.first_page_from(&row, query).await?, false),
        };
        let position = PagePosition { direction: query.direction, back, from, changes: query.changes };
        let page = self.page(&row, position, query.limit).await?;
        self.check_member(&row.id, &caller.user.user_id).await?;
        Ok(page)
    }

    /// The first entry of a first page, inclusive.
    async fn first_page_from(&self, row: &TopicRow, query: &HistoryQuery) -> Result<Seq, ChatError> {
        Ok(match (query.start, query.direction) {
            (HistoryStart::End, Direction::Forward) => Seq(0),
            (HistoryStart::End, Direction::Backward) => Seq(i64::MAX),
            (HistoryStart::Seq(seq), _) => seq,
            (HistoryStart::Time(time), Direction::Forward) => {
                self.store().first_since(row.key, time).await?.unwrap_or(row.last_seq.next())
            }
            (HistoryStart::Time(time), Direction::Backward) => {
                let later = self.store().first_since(row.key, Millis(time.0.saturating_add(1))).await?;
                later.map_or(row.last_seq, |seq| Seq(seq.0 - 1))
            }
        })
    }

    async fn page(&self, row: &TopicRow, position: PagePosition, limit: usize) -> Result<HistoryPage, ChatError> {
        let PagePosition { direction, back, from, .. } = position;
        let reading = if back { direction.opposite() } else { direction };
        // One message more than the page holds shows that the reading could go on.
        let mut messages = self.store().history(row, position.range(reading, from), limit as u64 + 1).await?;
        let reads_on = messages.len() > limit;
        messages.truncate(limit);
        if back {
            messages.reverse();
        }
        let (first, last) = position.bounds(&messages, row.last_seq);
        let has_next = back || reads_on || direction == Direction::Forward;
        let has_prev = if back { reads_on } else { self.has_entries_before(row, position, first).await? };
        Ok(HistoryPage {
            messages,
            next: has_next.then(|| position.cursor(&row.id, false, last)),
            prev: has_prev.then(|| position.cursor(&row.id, true, first)),
        })
    }

    /// Reports whether the listing has entries before `first`.
    async fn has_entries_before(&self, row: &TopicRow, position: PagePosition, first: Seq) -> Result<bool, ChatError> {
        let (possible, before) = match position.direction {
            Direction::Backward => (first < row.last_seq, first.next()),
            Direction::Forward => (first > Seq(1), Seq(first.0 - 1)),
        };
        let range = position.range(position.direction.opposite(), before);
        Ok(possible && self.store().has_any(row.key, range).await?)
    }
}

/// The page of a direct message that has no row yet. A forward listing of it can go on, when there is a first message.
fn page_of_unused_dm(topic: &TopicId, direction: Direction, cursor: Option<HistoryCursor>) -> HistoryPage {
    let beyond = cursor.map_or(Seq(0), |cursor| cursor.beyond);
    let next = HistoryCursor { direction, back: false, beyond }.encode(topic);
    let next = (direction == Direction::Forward).then_some(next);
    HistoryPage { messages: Vec::new(), next, prev: None }
}
