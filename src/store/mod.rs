//! The only place that knows sea-orm and SQL: one file per noun, one transaction per change.
//!
//! Reads take a connection of a pool; changes run in transactions of their own tasks (`change`), and the log has
//! connections of its own (`messages`). The same statements serve SQLite and PostgreSQL: `pool` is what they run on, and
//! where the two differ, `dialect` says so.

mod blocks;
mod change;
mod connect;
mod dialect;
mod error;
mod groups;
mod inbox;
mod instances;
mod joins;
mod messages;
mod meta;
mod orm;
mod pool;
mod presence;
mod purge;
mod read_marks;
mod sessions;
mod skew;
mod sqlite;
mod streams;
mod topics;
mod users;

use std::sync::Arc;

use sea_orm::DbBackend;

pub use blocks::{Block, Blocked};
pub use connect::Pools;
pub use error::StoreError;
pub use groups::{
    GroupDeleted, GroupPatch, GroupPlace, GroupRow, MemberAct, MemberChanged, MemberRefused, MemberRow, NewGroup,
};
pub use inbox::{InboxTopic, RecentDm};
pub use joins::{EndedJoin, Join, JoinEnd, JoinOutcome, JoinRefusal, JoinRequest, LeaveReason};
pub use messages::{AppendError, ChangeRefused, Changed, Draft, DraftError, LogRange, StoredMessage, Target};
pub use meta::Meta;
pub use presence::Present;
pub use read_marks::ReadMark;
pub use sessions::{NewSession, SessionRow, Touch};
pub use streams::{OpenedStream, Resume, StreamRequest};
pub use topics::TopicRow;

use self::pool::{Connection as _, Pool};
use self::skew::Skew;
pub use crate::model::TopicKey;
use crate::model::{Clock, Millis};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: Pools,
    changes: Option<change::Lane>,
    clock: Clock,
    /// Instances agree on who is online by the database's clock.
    skew: Skew,
}

impl Store {
    /// Takes over connected pools.
    pub fn new(pools: Pools, clock: Clock) -> Self {
        let changes = (pools.read.backend() == DbBackend::Sqlite).then(|| change::Lane::start(&pools.write));
        Self { inner: Arc::new(Inner { pools, changes, clock, skew: Skew::default() }) }
    }

    /// The database's time.
    pub fn now(&self) -> Millis {
        Millis(self.inner.clock.now().0.saturating_add(self.inner.skew.millis()))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        dialect::exec(self.read(), "SELECT 1", vec![]).await.map(drop)
    }

    /// Whether other instances may work on the same database.
    pub fn is_shared(&self) -> bool {
        self.read().backend() == DbBackend::Postgres
    }

    /// How many transactions may write the log at once, each on a connection of its own.
    pub fn lanes(&self) -> usize {
        self.inner.pools.lanes
    }

    /// Closes every connection, once all changes have ended.
    pub async fn close(&self) {
        let pools = &self.inner.pools;
        for pool in [&pools.read, &pools.write, &pools.lease] {
            pool.close().await;
        }
    }

    fn read(&self) -> &Pool {
        &self.inner.pools.read
    }

    fn clock(&self) -> &Clock {
        &self.inner.clock
    }
}
