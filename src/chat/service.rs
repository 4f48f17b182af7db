//! The value that the rules are methods of, and what they share.

use std::sync::Arc;
use std::time::Duration;

use super::error::ChatError;
use super::log;
use super::recent_calls::RecentCalls;
use super::tokens::{SessionTokens, UserTokens};
use super::typing_limit::TypingLimiter;
use crate::live::Hub;
use crate::model::Clock;
use crate::store::{Meta, Store};

/// The settings that the rules depend on.
#[derive(Clone, Debug)]
pub(crate) struct ChatSettings {
    /// `PARLOUR_DEVICE_ACCOUNTS`: true if a `device_id` opens a session.
    pub device_accounts: bool,
    /// `PARLOUR_SESSION_TTL`: the life of a session from its opening or last refresh.
    pub session_ttl: Duration,
    /// `PARLOUR_MAX_CONTENT_BYTES`: the longest content of a message, in bytes.
    pub max_content_bytes: usize,
    /// `PARLOUR_MAX_JOINS`: the number of topics that a session may have joined.
    pub max_joins: usize,
    /// `PARLOUR_HISTORY_TTL`: the age at which entries are pruned; `None` keeps them forever.
    pub history_ttl: Option<Duration>,
}

/// Every call that the service offers, with its rules. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chat {
    pub(super) inner: Arc<Inner>,
}

/// The parts that the rules use.
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) clock: Clock,
    pub(super) settings: ChatSettings,
    pub(super) recent_calls: RecentCalls,
    pub(super) typing: TypingLimiter,
    pub(super) session_tokens: SessionTokens,
    pub(super) user_tokens: UserTokens,
    /// The key of the hashes of device ids.
    pub(super) device_key: Vec<u8>,
}

impl Chat {
    /// Connects the rules with the store and the hub: new entries of the store go to the hub. `token_key` is the root key of
    /// session and stream tokens.
    pub(crate) fn new(
        store: Store,
        hub: Hub,
        clock: Clock,
        settings: ChatSettings,
        user_tokens: UserTokens,
        token_key: &[u8],
        meta: &Meta,
    ) -> Self {
        let listeners = hub.clone();
        store.on_new_entries(move |topics| log::deliver(&listeners, topics));
        let inner = Inner {
            session_tokens: SessionTokens::new(token_key),
            user_tokens,
            device_key: meta.device_key.clone(),
            recent_calls: RecentCalls::default(),
            typing: TypingLimiter::default(),
            store,
            hub,
            clock,
            settings,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The hub, for its health and its figures.
    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Checks that the database is reachable.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] or [`ChatError::Internal`] if a statement fails.
    pub(crate) async fn ready(&self) -> Result<(), ChatError> {
        Ok(self.store().ping().await?)
    }

    /// Runs a call in a task of its own, so that it completes even if the request that started it is cancelled. A
    /// change that is committed without its hints would be noticed late.
    pub(super) async fn run_to_completion<T, F>(&self, call: impl FnOnce(Self) -> F) -> Result<T, ChatError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChatError>> + Send + 'static,
    {
        tokio::spawn(call(self.clone())).await.unwrap_or_else(|panic| Err(ChatError::Internal(panic.into())))
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }
}
