//! Access: the rules that decide what a stream may show to its session's user.
//!
//! A user who lost access to a topic sees its log up to the entry that ended the access, and nothing that came into being
//! after it. Whatever is not an entry (presence, ephemeral events, an edit of an old message) has no place in the log that
//! would tell whether it came before that end; for these the rules look at the joins. A user who gains access, or
//! reconnects, never sees content that was redacted before. The rules for the memory of this instance that follow from
//! that (which pages and tails are dropped) are in `topic`, `log_ends` and `hints`.

use super::batch::Batch;
use super::presence::PresenceView;
use super::signal::StreamSignal;
use super::topic::ActiveTopic;
use crate::model::{Effect, Entry, Seq, SessionId, TopicKind, UserId};
use crate::store::{Store, StoreError};

/// The state that the rules look at, for one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) store: &'a Store,
    pub(super) signal: &'a StreamSignal,
    pub(super) session: SessionId,
}

impl Access<'_> {
    /// Returns true if an event that is not in the log may be shown. Where joins have changed before it is written, one of
    /// them may have ended: the caller reads the joins first.
    pub(super) fn may_show_unlogged(&self) -> bool {
        !self.signal.has_joins_pending()
    }

    /// Returns true if a view of presence may be shown. Otherwise the caller reads the joins first.
    ///
    /// A view is not ordered with the log, and on several instances the hint of a join's end can be lost. So a group's or
    /// a direct message's view that does not list this session is shown only after the database was asked. A room takes
    /// access from nobody.
    pub(super) async fn may_show_view(&self, topic: &ActiveTopic, view: &PresenceView) -> Result<bool, StoreError> {
        let uncertain = topic.id.kind() != TopicKind::Room && self.store.is_shared() && !view.lists(self.session);
        if uncertain && !self.has_joined(topic).await? {
            return Ok(false);
        }
        Ok(self.may_show_unlogged())
    }

    /// Returns the entries of a page that may not be shown: a page holds the current content of a message, which may have
    /// been edited after this user lost the topic. Returns `None` if the topic is lost and `join_end`, the entry that ended
    /// the join, is not known yet: the caller reads the joins first.
    pub(super) async fn withheld_edits(
        &self,
        topic: &ActiveTopic,
        join_end: Option<Seq>,
        entries: &[Entry],
    ) -> Result<Option<Vec<Seq>>, StoreError> {
        let mut edited = entries.iter().filter(|entry| entry.edited).map(|entry| entry.seq);
        let Some(first) = edited.next().filter(|_| topic.id.kind() == TopicKind::Group) else {
            return Ok(Some(Vec::new()));
        };
        let last = edited.next_back().unwrap_or(first);
        if let Some(end) = join_end {
            return self.store.edited_after(topic.key, end, (first, last)).await.map(Some);
        }
        Ok(self.has_joined(topic).await?.then(Vec::new))
    }

    async fn has_joined(&self, topic: &ActiveTopic) -> Result<bool, StoreError> {
        self.store.has_joined(self.session, topic.key).await
    }
}

/// Returns true if nothing of the topic may be shown after this entry: it revokes the user's access, or is the one that
/// ended the join.
pub(super) fn ends_access(entry: &Entry, user: &UserId, join_end: Option<Seq>) -> bool {
    join_end.is_some_and(|end| end <= entry.seq)
        || matches!(&entry.effect, Effect::RevokesAccess(revoked) if revoked == user)
}

/// Returns true if a page that was read when the topic had this count of redactions may be shown. After another redaction
/// it may hold redacted content, and is read again.
pub(super) fn may_show_page(topic: &ActiveTopic, redactions: u64) -> bool {
    topic.redactions() == redactions
}

/// Returns true if the fan-out may write this batch to parked streams. Entries that revoke access or redact need the
/// stream's own task; after a redaction the content of the batch may be redacted, and the log has what is left of it.
pub(super) fn may_fan_out(topic: &ActiveTopic, batch: &Batch) -> bool {
    let plain = !batch.entries.is_empty() && batch.entries.iter().all(|entry| entry.effect == Effect::None);
    plain && topic.redactions() == batch.redactions
}
