//! The way of a stored message to the hub, and the errors of messages that were not stored.

use std::collections::HashMap;

use super::error::ChatError;
use crate::live::Hub;
use crate::store::{AppendError, DraftError, NewEntries, TopicKey};

/// Delivers new entries to the hub. The store calls this after their commit and before their senders get their answers.
pub(super) fn deliver(hub: &Hub, topics: HashMap<TopicKey, NewEntries>) {
    let stored: usize = topics.values().map(|new| new.entries.len()).sum();
    metrics::counter!("parlour_messages_total").increment(stored as u64);
    for (key, new) in topics {
        hub.appended(key, &new.topic, new.entries);
    }
}

impl From<AppendError> for ChatError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(DraftError::SessionEnded) => Self::session_ended(),
            AppendError::Refused(DraftError::NotJoined) => Self::NotJoined,
            AppendError::Refused(DraftError::KeyReused) => Self::KeyReused,
            AppendError::Unavailable => Self::Unavailable,
            AppendError::Failed(error) => error.into(),
        }
    }
}
