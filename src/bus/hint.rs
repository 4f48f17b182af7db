//! What instances tell each other. A hint says that something has been committed; whoever misses it finds the same in
//! the database, later.

use crate::model::{Entry, EphemeralEvent, Seq, SessionId, StreamId, TopicId, TopicKey, UserId};

/// Something that other instances may want to know. Applying one twice, late or out of order changes nothing but
/// latency.
#[derive(Clone, Debug)]
pub enum Hint {
    /// A topic's log has reached `last`. The entries that lead there are a short cut: some or all may be left out.
    Appended {
        /// Where.
        key: TopicKey,
        /// Its id.
        topic: TopicId,
        /// In the order of their numbers.
        entries: Vec<Entry>,
        /// The newest.
        last: Seq,
    },
    /// The log of a direct message has reached `last`: for sessions of its users that have not joined it.
    Activity {
        /// Where.
        key: TopicKey,
        /// Its id.
        topic: TopicId,
        /// The newest entry.
        last: Seq,
    },
    /// What is delivered to those who listen, and stored nowhere. It belongs behind the entry `after`.
    Ephemeral {
        /// Where.
        key: TopicKey,
        /// The entry that it follows.
        after: Seq,
        /// What is delivered.
        what: EphemeralEvent,
    },
    /// A session has joined or left something.
    Joins {
        /// Which.
        session: SessionId,
    },
    /// Somebody may have come to or gone from these topics.
    Presence {
        /// Where.
        topics: Vec<TopicKey>,
    },
    /// A session was signed out.
    Ended {
        /// Which.
        session: SessionId,
    },
    /// A session has opened a stream: older ones are replaced.
    Opened {
        /// Whose.
        session: SessionId,
        /// The new stream.
        stream: StreamId,
    },
    /// A topic's entries up to this one have been pruned.
    Pruned {
        /// Where.
        key: TopicKey,
        /// The last that is gone.
        up_to: Seq,
    },
    /// Hints were lost on their way: compare with the database now.
    Lost,
}

impl Hint {
    /// What its payload takes, in bytes, about.
    pub(super) fn payload(&self) -> usize {
        match self {
            Self::Appended { entries, .. } => entries.iter().map(|entry| entry.json.len()).sum(),
            Self::Ephemeral { what, .. } => what.json().len(),
            _ => 0,
        }
    }

    /// Leaves the short cut out where it would take more than `limit` bytes: the log has it.
    pub(super) fn shorten(&mut self, limit: usize) {
        if let Self::Appended { entries, .. } = self
            && entries.iter().map(|entry| entry.json.len()).sum::<usize>() > limit
        {
            entries.clear();
        }
    }
}

/// What an instance wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// A topic that somebody here listens to.
    Topic(TopicKey),
    /// A session whose stream is here.
    Session(SessionId),
    /// A user of whom a stream is here.
    User(UserId),
}
