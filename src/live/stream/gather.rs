//! Taking turns over the topics that have something, until a piece is full.

use super::Stream;
use super::catch_up::TURN;
use crate::live::events::Gap;
use crate::live::presence::{Difference, PresenceView};
use crate::live::topic::{Found, HotTopic, Item};
use crate::model::event_id::{JoinNumber, PresenceDigest};
use crate::model::message::to_json;
use crate::model::{Effect, Entry, Seq, TopicKind};
use crate::store::StoreError;

/// With more topics than this, digests would make ids too long: each poll then begins with the whole lists.
const DIGESTS: usize = 250;

impl Stream {
    /// Adds what is ready, up to about `budget` bytes.
    pub(super) async fn fill(&mut self, budget: usize) {
        while self.frames.len() < budget && !self.reload && self.may_ask() {
            if !self.has_room() {
                return;
            }
            let Some(join_number) = self.queue.pop_front() else { return };
            if let Some(topic) = self.topics.get_mut(&join_number) {
                topic.queued = false;
            }
            match self.turn(join_number).await {
                Ok(true) => self.enqueue(join_number),
                Ok(false) => {}
                Err(error) => {
                    self.enqueue(join_number);
                    self.ask_later(&error);
                }
            }
        }
    }

    /// A topic waits for its turn once, however often it is noted.
    pub(super) fn enqueue(&mut self, join_number: JoinNumber) {
        if let Some(topic) = self.topics.get_mut(&join_number).filter(|topic| !topic.queued) {
            topic.queued = true;
            self.queue.push_back(join_number);
        }
    }

    /// One topic's turn; answers whether it has more.
    async fn turn(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get_mut(&join_number).filter(|topic| !topic.closed) else {
            return Ok(false);
        };
        // Before anything is read: what comes while this runs is noted again.
        let presence = topic.listener.look();
        // A join that has ended shows what the log holds up to its end, and nothing else.
        let shown = match (topic.last, &topic.shown) {
            (None, None) => self.show_present(join_number).await?,
            (None, Some(_)) if presence => self.show_difference(join_number).await?,
            _ => true,
        };
        if !shown {
            return Ok(true);
        }
        self.skip_to_replay(join_number);
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(false);
        };
        let mut place = topic.place;
        let found = topic.hot.read(&mut place, TURN);
        // What the log does not hold asks nobody whether this session may have it: where a join had changed before it was
        // said, the joins are read first.
        let unlogged = |items: &[Item]| items.iter().any(|item| !matches!(item, Item::Entry(_)));
        if matches!(&found, Found::Items(items, _) if unlogged(items)) && self.wake.joins_noted() {
            self.reload = true;
            return Ok(true);
        }
        topic.place = place;
        match found {
            Found::Items(items, more) => {
                for item in items {
                    match item {
                        Item::Entry(entry) if !self.say_entry(join_number, &entry) => return Ok(false),
                        Item::Entry(_) => {}
                        Item::Ephemeral(event) => self.say(event.event(), false, event.json()),
                    }
                }
                Ok(more)
            }
            Found::Behind(last) => self.catch_up(join_number, last).await,
        }
    }

    /// The whole list: at once where the view at hand shows this session, otherwise from a fresh look. `false` where joins
    /// have changed before it was read, and are to be read first.
    async fn show_present(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get(&join_number) else {
            return Ok(true);
        };
        let hot = topic.hot.clone();
        let of_own = hot.presence.latest().filter(|view| !self.is_poll() && view.shows(self.session));
        let interval = self.hub.inner.settings.presence_interval;
        let view = match of_own.or_else(|| hot.presence.crowd(interval)) {
            Some(view) => view,
            None => self.hub.look(&hot).await?,
        };
        if !self.may_show(&hot, &view).await? {
            return Ok(false);
        }
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(true);
        };
        let known = topic.known.take() == Some(view.digest());
        topic.shown = Some(view.clone());
        if !known {
            self.say("presence_state", false, &view.state(&hot.id));
        }
        Ok(true)
    }

    /// As [`Self::show_present`], what has changed since.
    async fn show_difference(&mut self, join_number: JoinNumber) -> Result<bool, StoreError> {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return Ok(true);
        };
        let (Some(shown), Some(published)) = (topic.shown.clone(), topic.hot.presence.published()) else {
            return Ok(true);
        };
        let (hot, listener) = (topic.hot.clone(), topic.listener.clone());
        let difference = published.since(&shown, &hot.id);
        if !matches!(difference, Difference::Nothing) {
            let may = self.may_show(&hot, &published.view).await;
            if !matches!(may, Ok(true)) {
                listener.notice_presence(); // it is still to be shown
                return may;
            }
        }
        if PresenceView::is_newer(&published.view, &shown)
            && let Some(topic) = self.topics.get_mut(&join_number)
        {
            topic.shown = Some(published.view.clone());
        }
        match difference {
            Difference::Nothing => {}
            Difference::Changes(data) => self.say("presence", false, &data),
            Difference::Afresh => self.say("presence_state", false, &published.view.state(&hot.id)),
        }
        Ok(true)
    }

    /// Whether a view of a topic may be shown, as far as is known behind its reading; if not, the joins are to be read
    /// first. No entry stands before a view, so that a lost hint could hide the end of a join: a group or a direct message
    /// whose view does not show this session is asked about.
    async fn may_show(&mut self, hot: &HotTopic, view: &PresenceView) -> Result<bool, StoreError> {
        let asks = hot.id.kind() != TopicKind::Room && self.hub.inner.store.is_shared() && !view.shows(self.session);
        let ended = asks && !self.hub.inner.store.has_joined(self.session, hot.key).await?;
        if ended || self.wake.joins_noted() {
            self.reload = true;
            return Ok(false);
        }
        Ok(true)
    }

    /// What was missed beyond the replay is named, once, and left to history.
    fn skip_to_replay(&mut self, join_number: JoinNumber) {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return;
        };
        if let Some(to) = topic.gap_to.take() {
            self.say_gap(join_number, to, false);
        }
    }

    pub(super) fn say_gap(&mut self, join_number: JoinNumber, to_seq: Seq, pruned: bool) {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return;
        };
        let from_seq = topic.place.position.next();
        topic.place.position = to_seq;
        let data = to_json(&Gap { topic: &topic.hot.id, from_seq, to_seq, pruned });
        self.positions.reach(join_number, to_seq);
        self.say("gap", true, &data);
    }

    /// Answers whether more may follow. The entry that takes the topic from this user is the last: whether it was joined
    /// anew since, and how to call the end, the joins say.
    pub(super) fn say_entry(&mut self, join_number: JoinNumber, entry: &Entry) -> bool {
        let Some(topic) = self.topics.get_mut(&join_number) else {
            return false;
        };
        topic.place.position = topic.place.position.max(entry.seq);
        topic.closed = topic.last.is_some_and(|last| last <= entry.seq)
            || matches!(&entry.effect, Effect::RevokesAccess(user) if *user == self.user);
        let closed = topic.closed;
        self.reload |= closed;
        self.positions.reach(join_number, entry.seq);
        self.say("message", true, &entry.json);
        !closed
    }

    /// What the client of a long poll knows of presence; a stream's ids say nothing of it.
    pub(super) fn digests(&self) -> Vec<(JoinNumber, PresenceDigest)> {
        if !self.is_poll() || self.topics.len() > DIGESTS {
            return Vec::new();
        }
        let shown =
            |(join_number, topic): (&JoinNumber, &super::Topic)| Some((*join_number, topic.shown.as_ref()?.digest()));
        self.topics.iter().filter_map(shown).collect()
    }
}
