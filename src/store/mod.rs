//! The only place with sea-orm and SQL: one file per noun, one transaction per change.
//!
//! Reads take a connection of a pool; changes run in transactions of their own tasks (`change`), and the log has
//! connections of its own (`messages`). Plain reads, inserts, updates and deletes go by the entities of `parlour-entity`,
//! which run on both databases (`orm`). A raw statement has a comment that says why it is raw; it serves both databases,
//! and where they differ, `dialect` says so.

mod blocks;
mod change;
mod checkpoints;
mod clock_offset;
mod connect;
mod dialect;
mod error;
mod groups;
mod inbox;
mod instances;
mod joins;
mod leaves;
mod members;
mod messages;
mod meta;
#[cfg(test)]
mod migration_tests;
mod orm;
mod pool;
mod presence;
mod purge;
mod read_marks;
mod sessions;
mod sqlite;
mod standings;
mod streams;
#[cfg(test)]
pub(crate) mod testing;
mod topics;
mod users;

use std::sync::Arc;

use sea_orm::DbBackend;

pub use blocks::{Block, Blocked};
pub use connect::Pools;
pub use error::StoreError;
pub use groups::{GroupCursor, GroupDeleted, GroupPatch, GroupRow, NewGroup};
pub use inbox::{InboxTopic, RecentDm};
pub use joins::{Join, JoinOutcome, JoinRefusal, JoinRequest};
pub use leaves::{EndedJoin, JoinEnd, LeaveReason};
pub use members::{MemberAct, MemberChanged, MemberRefused, MemberRow};
pub use messages::{AppendError, ChangeRefused, Changed, Draft, DraftError, LogRange, StoredMessage, Target};
pub use meta::Meta;
pub use presence::Present;
pub use read_marks::ReadMark;
pub use sessions::{NewSession, SessionCall, SessionRow};
pub use streams::{OpenedStream, Resume, StreamRequest};
pub use topics::TopicRow;

use self::clock_offset::ClockOffset;
use self::pool::{Connection as _, Pool};
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
    /// Instances decide by the database's clock who is online, so that they agree.
    clock_offset: ClockOffset,
}

impl Store {
    /// Takes over connected pools.
    pub fn new(pools: Pools, clock: Clock) -> Self {
        let changes = (pools.read.backend() == DbBackend::Sqlite).then(|| change::Lane::start(&pools.write));
        Self { inner: Arc::new(Inner { pools, changes, clock, clock_offset: ClockOffset::default() }) }
    }

    /// Returns the database's time.
    pub fn now(&self) -> Millis {
        Millis(self.inner.clock.now().0.saturating_add(self.inner.clock_offset.millis()))
    }

    /// Runs a statement to find out whether the database is available.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn ping(&self) -> Result<(), StoreError> {
        dialect::exec(self.read(), "SELECT 1", vec![]).await?;
        Ok(())
    }

    /// Returns true if other instances may work on the same database.
    pub fn is_shared(&self) -> bool {
        self.read().backend() == DbBackend::Postgres
    }

    /// Returns the number of transactions that may write the log at once, each on a connection of its own.
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
