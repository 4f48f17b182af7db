//! Messages: sending, and reading what was sent.

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::sessions::ENDED;
use super::{Caller, Chat, ChatError, Claims};
use crate::model::cursor::{Direction, HistoryCursor};
use crate::model::message::{EphemeralMessage, to_json};
use crate::model::{Code, Content, EphemeralEvent, Message, MessageId, Millis, Seq, TopicId};
use crate::store::{Draft, LogRange, TopicRow};

/// What a session wants to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Any JSON value that a parser has found well-formed.
    pub content: Box<RawValue>,
    /// Whether it is for those only who listen at this moment.
    pub ephemeral: bool,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
}

/// What became of it; holds the message as JSON.
#[derive(Clone, Debug)]
pub enum Receipt {
    /// It has been stored.
    Stored(Bytes),
    /// It was stored by an earlier request with the same key.
    Repeated(Bytes),
    /// It was delivered, and is stored nowhere.
    Delivered(Bytes),
}

/// Where the first page of a history starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the newest entry, reading backward; at the oldest, reading forward.
    End,
    /// At this entry.
    Seq(Seq),
    /// Backward at the last entry that was made by then, forward at the first that was made then or later.
    Time(Millis),
}

/// A question for history.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// How the listing is ordered.
    pub direction: Direction,
    /// 1 to 100.
    pub limit: usize,
    /// Goes on from an earlier page; excludes a start of one's own.
    pub cursor: Option<String>,
    /// Where the first page starts.
    pub start: Start,
    /// Whether edits and removals are listed, too.
    pub changes: bool,
}

/// Where a page of history stands, before it is read.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The order of the listing.
    direction: Direction,
    /// Whether the page lies before the one at hand, and is read towards the start of the listing.
    back: bool,
    /// The first entry that it may hold, in the order in which it is read.
    from: Seq,
    /// Whether edits and removals are listed, too.
    changes: bool,
}

/// A page of history.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// In the order of the direction.
    pub messages: Vec<Message>,
    /// Leads on; none where the direction has ended, except forward.
    pub next: Option<String>,
    /// Leads back; none where there is nothing.
    pub prev: Option<String>,
}

impl Chat {
    /// Sends. Whether the session lives and has joined is checked where the message gets its number.
    pub async fn send(&self, claims: &Claims, topic: TopicId, outgoing: Outgoing) -> Result<Receipt, ChatError> {
        let content = self.content(&outgoing.content)?;
        if outgoing.ephemeral {
            if outgoing.key.is_some() {
                return Err(ChatError::invalid("an ephemeral message is not stored: send it without Idempotency-Key"));
            }
            return self.send_ephemeral(claims, topic, content).await;
        }
        let key = outgoing.key.map(|key| (key, Sha256::digest(content.as_str()).into()));
        let id = MessageId(self.inner.clock.uuid());
        let draft = Draft { id, topic: topic.clone(), session: claims.session, content, key };
        let appended = match self.inner.log.append(draft).await {
            Err(ChatError::NotJoined) => return Err(self.why_not_joined(&topic, &claims.user).await),
            appended => appended?,
        };
        self.note_call(claims.session, appended.online_until);
        Ok(if appended.fresh { Receipt::Stored(appended.json) } else { Receipt::Repeated(appended.json) })
    }

    /// What a message may say.
    pub(super) fn content(&self, raw: &RawValue) -> Result<Content, ChatError> {
        let content = Content::new(raw).map_err(|error| ChatError::invalid(error.to_string()))?;
        let max = self.inner.rules.max_content_bytes;
        if content.as_str().len() > max { Err(ChatError::ContentTooLarge { max }) } else { Ok(content) }
    }

    async fn send_ephemeral(&self, claims: &Claims, topic: TopicId, content: Content) -> Result<Receipt, ChatError> {
        let caller = self.caller(claims).await?;
        let row = self.joined_topic(claims, &topic).await?;
        let (created_at, content) = (self.store().now(), content.into_raw());
        let json = to_json(&EphemeralMessage { topic, code: Code::CHAT, sender: caller.user, content, created_at });
        self.inner.hub.send_ephemeral(row.key, row.last_seq, EphemeralEvent::Message(json.clone()));
        Ok(Receipt::Delivered(json))
    }

    /// A topic that the session has joined, for what is not stored: only what is gets its place under a lock.
    pub(super) async fn joined_topic(&self, claims: &Claims, topic: &TopicId) -> Result<TopicRow, ChatError> {
        match self.store().joined_topic(claims.session, topic).await? {
            Some(row) => Ok(row),
            None => Err(self.why_not_joined(topic, &claims.user).await),
        }
    }

    /// One message.
    pub async fn message(&self, caller: &Caller, topic: &TopicId, id: MessageId) -> Result<Message, ChatError> {
        let row = self.visible(topic, &caller.user.user_id).await?;
        let row = row.ok_or(ChatError::NotFound("message"))?;
        let message = self.store().message(&row, id).await?;
        self.check_member(&row.id, &caller.user.user_id).await?;
        message.ok_or(ChatError::NotFound("message"))
    }

    /// A page of history; no join is needed.
    pub async fn history(
        &self,
        caller: &Caller,
        topic: &TopicId,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, ChatError> {
        let row = self.visible(topic, &caller.user.user_id).await?;
        let decode = |text: &String| HistoryCursor::decode(text, topic, query.direction).ok_or(ChatError::BadCursor);
        let cursor = query.cursor.as_ref().map(decode).transpose()?;
        let Some(row) = row else {
            // A direct message in which nobody has said anything: forward, there is something to wait for.
            let beyond = cursor.map_or(Seq(0), |cursor| cursor.beyond);
            let next = HistoryCursor { direction: query.direction, back: false, beyond }.encode(topic);
            let next = (query.direction == Direction::Forward).then_some(next);
            return Ok(HistoryPage { messages: Vec::new(), next, prev: None });
        };
        let (from, back) = match cursor {
            Some(cursor) => (cursor.from(), cursor.back),
            None => (self.first_page_from(&row, query).await?, false),
        };
        let place = Place { direction: query.direction, back, from, changes: query.changes };
        let page = self.page(&row, place, query.limit).await?;
        self.check_member(&row.id, &caller.user.user_id).await?;
        Ok(page)
    }

    /// Where a first page starts reading, inclusive.
    async fn first_page_from(&self, row: &TopicRow, query: &HistoryQuery) -> Result<Seq, ChatError> {
        let forward = query.direction == Direction::Forward;
        Ok(match query.start {
            Start::End => {
                if forward {
                    Seq(0)
                } else {
                    Seq(i64::MAX)
                }
            }
            Start::Seq(seq) => seq,
            Start::Time(time) if forward => {
                self.store().first_since(row.key, time).await?.unwrap_or(row.last_seq.next())
            }
            Start::Time(time) => {
                let later = self.store().first_since(row.key, Millis(time.0.saturating_add(1))).await?;
                later.map_or(row.last_seq, |seq| Seq(seq.0 - 1))
            }
        })
    }

    async fn page(&self, row: &TopicRow, place: Place, limit: usize) -> Result<HistoryPage, ChatError> {
        let Place { direction, back, from, changes } = place;
        let reading = if back { direction.opposite() } else { direction };
        let stretch = |direction, from| LogRange { direction, from, changes };
        // One more tells whether there is more.
        let mut messages = self.store().history(row, stretch(reading, from), limit as u64 + 1).await?;
        let more = messages.len() > limit;
        messages.truncate(limit);
        if back {
            messages.reverse();
        }
        // An empty page stands where it was asked for, between its two neighbours.
        let (first, last) = match (messages.first(), messages.last(), direction) {
            (Some(first), Some(last), _) => (first.seq, last.seq),
            (_, _, Direction::Forward) => {
                let place = from.0.clamp(0, row.last_seq.0.saturating_add(1));
                (Seq(place), if back { Seq(place) } else { Seq(place.saturating_sub(1).max(0)) })
            }
            _ => (from.min(row.last_seq), from.min(row.last_seq).next()),
        };
        let ahead = if back { true } else { more };
        let behind = if back {
            more
        } else {
            let (possible, from) = match direction {
                Direction::Backward => (first < row.last_seq, first.next()),
                Direction::Forward => (first > Seq(1), Seq(first.0 - 1)),
            };
            possible && self.store().has_any(row.key, stretch(direction.opposite(), from)).await?
        };
        let cursor = |back, beyond| HistoryCursor { direction, back, beyond }.encode(&row.id);
        let next = (ahead || direction == Direction::Forward).then(|| cursor(false, last));
        let prev = behind.then(|| cursor(true, first));
        Ok(HistoryPage { messages, next, prev })
    }
}

impl Claims {
    /// What the caller of a session that lives no more gets to hear.
    pub fn ended() -> ChatError {
        ChatError::Unauthenticated(ENDED)
    }
}
