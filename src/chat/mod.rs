//! The rules, one file per noun. Handlers reach the database and the hub only through here, so that no act can forget to
//! ask whether its caller may do it. No SQL and no axum in here.

mod blocks;
mod changes;
mod error;
mod groups;
mod inbox;
mod log;
mod members;
mod messages;
mod sessions;
mod tokens;
mod topics;
mod touches;
mod typing;
mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use error::ChatError;
pub use groups::{CreateGroup, GroupQuery};
pub use inbox::InboxPage;
pub use messages::{HistoryPage, HistoryQuery, Outgoing, Receipt, Start};
pub use sessions::{Caller, OpenedSession};
pub use tokens::{Claims, UserTokens, mint_user_token};
pub use topics::{JoinedTopic, TopicInfo};

// What acts answer with, as the database holds it.
pub use crate::store::{
    Block, GroupPatch, GroupPlace, GroupRow, InboxTopic, Join, MemberRow, ReadMark, Resume, SessionRow,
};

use self::log::Log;
use self::tokens::SessionTokens;
use self::touches::Touches;
use self::typing::Typing;
use crate::live::Hub;
use crate::model::Clock;
use crate::store::{Meta, Store, StoreError};

/// What the rules go by; see the settings of the same names.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `PARLOUR_DEVICE_ACCOUNTS`.
    pub device_accounts: bool,
    /// `PARLOUR_SESSION_TTL`.
    pub session_ttl: Duration,
    /// `PARLOUR_MAX_CONTENT_BYTES`.
    pub max_content_bytes: usize,
    /// `PARLOUR_MAX_JOINS`.
    pub max_joins: usize,
    /// `PARLOUR_HISTORY_TTL`; `None` keeps everything.
    pub history_ttl: Option<Duration>,
}

/// Everything that can be done. Cheap to clone.
#[derive(Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Hub,
    clock: Clock,
    rules: Rules,
    log: Log,
    touches: Touches,
    typing: Typing,
    session_tokens: SessionTokens,
    user_tokens: UserTokens,
    device_key: Vec<u8>,
}

/// How often clean-ups run at least.
const CLEAN_UP: Duration = Duration::from_secs(60);
/// How long an ended session is remembered.
const SESSION_REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// What was said in a deleted group stays so long: streams that lag shall end with `left`, not with gaps.
const DELETED_KEPT: Duration = Duration::from_secs(60);

impl Chat {
    /// `token_key` signs session and stream tokens.
    pub fn new(
        store: Store,
        hub: Hub,
        clock: Clock,
        rules: Rules,
        user_tokens: UserTokens,
        token_key: &[u8],
        meta: &Meta,
    ) -> Self {
        let inner = Inner {
            log: Log::start(&store, &hub),
            session_tokens: SessionTokens::new(token_key),
            user_tokens,
            device_key: meta.device_key.clone(),
            touches: Touches::default(),
            typing: Typing::default(),
            store,
            hub,
            clock,
            rules,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The hub, for streams.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), ChatError> {
        Ok(self.store().ping().await?)
    }

    /// Does the regular work until `stop`: keeping callers online, and forgetting what is old.
    pub async fn run(self, stop: CancellationToken) {
        let work = async { tokio::join!(self.keep_online(), self.clean_up()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
    }

    async fn clean_up(&self) {
        let often = self.inner.rules.history_ttl.map_or(CLEAN_UP, |ttl| CLEAN_UP.min(ttl));
        let mut ticks = tokio::time::interval(often);
        loop {
            ticks.tick().await;
            self.inner.typing.forget_old();
            if let Err(error) = self.forget_old().await {
                tracing::debug!(%error, "a clean-up was put off");
            }
        }
    }

    async fn forget_old(&self) -> Result<(), StoreError> {
        while self.store().purge_sessions(SESSION_REMEMBERED).await? > 0 {}
        while self.store().purge_deleted_topics(DELETED_KEPT).await? {}
        let Some(ttl) = self.inner.rules.history_ttl else {
            return Ok(());
        };
        let before = self.store().now().minus(ttl);
        let mut after = 0;
        loop {
            let topics = self.store().topics_after(after).await?;
            let Some(&last) = topics.last() else { return Ok(()) };
            for topic in topics {
                if let Some(pruned) = self.store().prune_topic(topic, before).await? {
                    self.inner.hub.pruned(topic, pruned);
                }
            }
            after = last;
        }
    }

    /// Runs an act to its end, whatever becomes of the request that asked for it: a change whose hints were left out
    /// would be noticed late.
    async fn to_the_end<T, F>(&self, act: impl FnOnce(Self) -> F) -> Result<T, ChatError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChatError>> + Send + 'static,
    {
        tokio::spawn(act(self.clone())).await.unwrap_or_else(|panic| Err(ChatError::Internal(panic.into())))
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }
}
