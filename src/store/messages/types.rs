//! The types that the files about appending messages share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::draft::DraftError;
use crate::model::{Message, Millis, Seq, TopicId, TopicKey, User, UserId};
use crate::store::error::StoreError;
use crate::store::topics::TopicRow;

/// A message that the log holds.
#[derive(Clone, Debug)]
pub(in crate::store) struct StoredMessage {
    /// The key of its topic.
    pub(in crate::store) key: TopicKey,
    /// The message.
    pub(in crate::store) message: Message,
    /// True if this batch stored it; otherwise an earlier one did, with the same idempotency key.
    pub(in crate::store) fresh: bool,
    /// The end of the time for which its sender is online without a stream; `None` while a stream of theirs is open.
    pub(in crate::store) online_until: Option<Millis>,
}

/// The result of each draft of a batch, in the order of the drafts.
pub(in crate::store) type AppendedDrafts = Vec<Result<StoredMessage, DraftError>>;

/// Why a batch failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum BatchError {
    /// Nothing of it was stored.
    #[error(transparent)]
    NotStored(#[from] StoreError),
    /// The COMMIT was not answered: the log itself holds what was stored.
    #[error("a commit was not answered: {0}")]
    Unknown(#[source] StoreError),
}

/// A valid session that sends, and its joins.
pub(super) struct Sender {
    pub(super) user: User,
    /// True if a stream of the session is open.
    pub(super) streaming: bool,
    pub(super) online_until: Millis,
    /// The topics of the batch that the session has joined.
    pub(super) joined: Vec<TopicKey>,
}

/// Valid sessions by their ids.
pub(super) type Senders = HashMap<Uuid, Sender>;

/// The topics of a batch that exist.
pub(super) type Topics = HashMap<TopicId, TopicRow>;

/// The sessions of a batch with the topics that they send to.
pub(super) type Wanted<'a> = BTreeSet<(Uuid, &'a TopicId)>;

/// An entry to be written.
pub(super) struct NewEntry<'a> {
    /// The key of its topic.
    pub(super) topic: TopicKey,
    /// The entry, with its seq.
    pub(super) message: &'a Message,
    /// The idempotency key that it was sent with, and the hash of its body.
    pub(super) key: Option<(&'a str, &'a [u8])>,
    /// The seq of the entry that it edits or removes.
    pub(super) target: Option<Seq>,
}

/// Read marks that move with the entries of their own users.
pub(super) type Marks<'a> = BTreeMap<(&'a UserId, TopicKey), Seq>;
