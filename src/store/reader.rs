//! Reads go over a pool, whose connections may have been cut while they lay idle, as a database that restarts cuts all of
//! them at once. Nobody is refused for that: what such a connection was asked is asked again over another.

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait as _,
};

use super::error::was_cut;

/// So many connections in a row may turn out to have been cut. More than a pool holds by default; each is gone from the
/// pool afterwards, and one that cannot be made is another error.
const TRIES: usize = 8;

/// The pool that reads go over.
#[derive(Clone, Debug)]
pub(super) struct Reader(DatabaseConnection);

impl Reader {
    pub(super) fn new(pool: &DatabaseConnection) -> Self {
        Self(pool.clone())
    }
}

/// Begins a transaction: a BEGIN that fails has done nothing either.
pub(super) async fn begin(
    pool: &DatabaseConnection,
    options: TransactionOptions,
) -> Result<DatabaseTransaction, DbErr> {
    let mut tries = Tries::default();
    loop {
        match pool.begin_with_options(options).await {
            Err(error) if tries.again(&error) => {}
            answer => return answer,
        }
    }
}

/// How often has been asked.
#[derive(Default)]
struct Tries(usize);

impl Tries {
    /// Whether to ask once more: the connection had been cut, and that may be so of a few.
    fn again(&mut self, error: &DbErr) -> bool {
        self.0 += 1;
        self.0 < TRIES && was_cut(error)
    }
}

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut tries = Tries::default();
        loop {
            match self.0.execute_raw(statement.clone()).await {
                Err(error) if tries.again(&error) => {}
                answer => return answer,
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut tries = Tries::default();
        loop {
            match self.0.query_one_raw(statement.clone()).await {
                Err(error) if tries.again(&error) => {}
                answer => return answer,
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut tries = Tries::default();
        loop {
            match self.0.query_all_raw(statement.clone()).await {
                Err(error) if tries.again(&error) => {}
                answer => return answer,
            }
        }
    }
}
