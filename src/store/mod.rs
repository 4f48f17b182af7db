//! The only place with sea-orm and SQL: one file per noun, one write transaction per call.
//!
//! Reads take a connection of a pool; messages and other write transactions go through a queue to the writer
//! (`write_queue`). Plain reads, inserts, updates and deletes go by the entities of `parlour-entity`,
//! which run on both databases (`orm`). A raw statement has a comment that says why it is raw; it serves both databases,
//! and where they differ, `dialect` says so.

mod blocks;
mod checkpoints;
mod clock_offset;
mod connect;
mod dialect;
mod durability;
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
mod timeouts;
mod topics;
mod users;
mod write;
mod write_queue;

use std::sync::Arc;

use sea_orm::DbBackend;

pub(crate) use blocks::{Block, Blocked};
pub(crate) use connect::Pools;
pub(crate) use error::StoreError;
pub(crate) use groups::{GroupCursor, GroupDeleted, GroupPatch, GroupRow, NewGroup};
pub(crate) use inbox::{InboxTopic, RecentDm};
pub(crate) use joins::{Join, JoinOutcome, JoinRefusal, JoinRequest};
pub(crate) use leaves::{EndedJoin, JoinEnd, LeaveReason};
pub(crate) use members::{MemberAct, MemberChanged, MemberRefused, MemberRow};
pub(crate) use messages::{ChangeRefused, Changed, Draft, DraftError, LogRange, Target};
pub(crate) use meta::Meta;
pub(crate) use presence::Present;
pub(crate) use read_marks::ReadMark;
pub(crate) use sessions::{NewSession, SessionCall, SessionRow};
pub(crate) use streams::{OpenedStream, Resume, StreamRequest};
pub(crate) use topics::TopicRow;
pub(crate) use write_queue::{AppendError, NewEntries};

use self::clock_offset::ClockOffset;
use self::pool::{Connection as _, Pool};
use self::write_queue::WriteQueue;
pub(crate) use crate::model::TopicKey;
use crate::model::{Clock, Millis};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: Pools,
    write_queue: WriteQueue,
    clock: Clock,
    /// Instances decide by the database's clock who is online, so that they agree.
    clock_offset: Arc<ClockOffset>,
}

impl Store {
    /// Returns the database's time.
    pub(crate) fn now(&self) -> Millis {
        self.inner.clock_offset.apply_to(&self.inner.clock)
    }

    /// Runs a statement to find out whether the database is available.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        dialect::exec(self.read(), "SELECT 1", vec![]).await?;
        Ok(())
    }

    /// Returns true if other instances may work on the same database.
    pub(crate) fn is_shared(&self) -> bool {
        self.read().backend() == DbBackend::Postgres
    }

    /// Closes every connection, once all write transactions have ended.
    pub(crate) async fn close(&self) {
        self.inner.write_queue.close().await;
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
