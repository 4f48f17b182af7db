//! Gathering: the topics that have something take turns until a piece is full.

use super::catch_up::TURN_BYTES;
use super::state::Stream;
use crate::live::items::Item;
use crate::live::topic::TopicRead;
use crate::model::event_id::JoinNumber;
use crate::store::StoreError;

impl Stream {
    /// Writes what is ready, up to about `budget` bytes.
    pub(super) async fn gather(&mut self, budget: usize) {
        while self.encoder.len() < budget && !self.reload && self.may_query() {
            if !self.may_move() {
                return;
            }
            let Some(join_number) = self.queue.pop_front() else { return };
            if let Some(topic) = self.topics.get_mut(&join_number) {
                topic.queued = false;
            }
            match self.take_turn(join_number).await {
                Ok(true) => self.enqueue(join_number),
                Ok(false) => {}
                Err(error) => {
                    self.enqueue(join_number);
                    self.retry_later(&error);
                }
            }
        }
    }

    /// Gives a topic its turn. Returns true if it has more.
    async fn take_turn(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get_mut(&join_number).filter(|topic| !topic.closed) else {
            return Ok(false);
        };
        // Before anything is read: what comes during this turn notifies again.
        let presence_changed = topic.listener.begin_read();
        // A join that has ended shows the log up to its end, and no presence.
        let shown = match (topic.join_end, &topic.shown) {
            (None, None) => self.show_presence(join_number).await?,
            (None, Some(_)) if presence_changed => self.show_difference(join_number).await?,
            _ => true,
        };
        if !shown {
            return Ok(true);
        }
        self.skip_to_replay(join_number);
        self.show_items(join_number).await
    }

    /// Writes entries and ephemeral events from memory, or a page of the log. Returns true if there are more.
    async fn show_items(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(false);
        };
        let mut position = topic.position;
        let read = topic.active.read(&mut position, TURN_BYTES);
        let has_unlogged = match &read {
            TopicRead::Items(items, _) => items.iter().any(|item| matches!(item, Item::Ephemeral(_))),
            TopicRead::InLog(_) => false,
        };
        if has_unlogged && !self.access().may_show_unlogged() {
            self.reload = true;
            return Ok(true);
        }
        if let Some(topic) = self.topics.get_mut(&join_number) {
            topic.position = position;
        }
        match read {
            TopicRead::Items(items, more) => {
                for item in items {
                    match item {
                        Item::Entry(entry) if !self.write_entry(join_number, &entry) => return Ok(false),
                        Item::Entry(_) => {}
                        Item::Ephemeral(event) => self.write_event(event.event(), false, event.json()),
                    }
                }
                Ok(more)
            }
            TopicRead::InLog(last) => self.catch_up(join_number, last).await,
        }
    }

    /// Writes a gap for entries beyond the replay, once: the client reads them as history.
    fn skip_to_replay(&mut self, join_number: JoinNumber) {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return;
        };
        if let Some(to) = topic.gap_to.take() {
            self.write_gap(join_number, to, false);
        }
    }
}
