//! The messages between instances. A hint announces something that has been committed. An instance that does not receive
//! it finds the same in the database, later.

use crate::model::{Entry, EphemeralEvent, Seq, SessionId, StreamId, TopicId, TopicKey, UserId};

/// A message from one instance to others. To apply a hint twice, late or out of order changes nothing but latency.
#[derive(Clone, Debug)]
pub(crate) enum Hint {
    /// A topic's log has grown up to `last`. The entries that are new are sent along to save the read from the database;
    /// some or all of them may be missing.
    Appended {
        /// The key of the topic.
        key: TopicKey,
        /// The id of the topic.
        topic: TopicId,
        /// New entries, in the order of their seqs.
        entries: Vec<Entry>,
        /// The seq of the newest entry.
        last: Seq,
    },
    /// The log of a direct message has grown up to `last`. This is for the sessions of its users that have not joined it.
    Activity {
        /// The key of the topic.
        key: TopicKey,
        /// The id of the topic.
        topic: TopicId,
        /// The seq of the newest entry.
        last: Seq,
    },
    /// An event for the current listeners of a topic. It is not stored. Its place is after the entry `after`.
    Ephemeral {
        /// The key of the topic.
        key: TopicKey,
        /// The seq of the entry that the event follows.
        after: Seq,
        /// The event.
        what: EphemeralEvent,
    },
    /// A session has joined or left topics.
    Joins {
        /// The id of the session.
        session: SessionId,
    },
    /// The presence of topics may have changed.
    Presence {
        /// The keys of the topics.
        topics: Vec<TopicKey>,
    },
    /// A session was signed out.
    Ended {
        /// The id of the session.
        session: SessionId,
    },
    /// A session has opened a stream, which replaces its older streams.
    Opened {
        /// The id of the session.
        session: SessionId,
        /// The id of the new stream.
        stream: StreamId,
    },
    /// The entries of a topic have been pruned up to `up_to`.
    Pruned {
        /// The key of the topic.
        key: TopicKey,
        /// The seq of the last pruned entry.
        up_to: Seq,
    },
    /// Hints were lost. The receiver has to reconcile with the database now.
    Lost,
}

impl Hint {
    /// Returns the size of the payload, in bytes. The fields beside the payload are not counted.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Appended { entries, .. } => entries.iter().map(|entry| entry.json.len()).sum(),
            Self::Ephemeral { what, .. } => what.json().len(),
            _ => 0,
        }
    }

    /// Removes the entries if they have more than `limit` bytes together. The receiver then reads them from the log.
    pub(super) fn limit_entries(&mut self, limit: usize) {
        if let Self::Appended { entries, .. } = self
            && entries.iter().map(|entry| entry.json.len()).sum::<usize>() > limit
        {
            entries.clear();
        }
    }
}

/// A subject that an instance wants to receive hints about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Interest {
    /// A topic that a stream on this instance listens to.
    Topic(TopicKey),
    /// A session whose stream is open on this instance.
    Session(SessionId),
    /// A user one of whose streams is open on this instance.
    User(UserId),
}
