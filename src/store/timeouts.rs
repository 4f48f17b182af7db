//! The time that the database may take to answer.

use std::time::Duration;

use sea_orm::DbErr;

use super::error::StoreError;

/// The time limit for the database to answer a statement. PostgreSQL's own limit (in `connect`) is shorter: beyond this one
/// it is not slow but gone, and the network has not reported that, which may take a quarter of an hour.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns what `work` returns, if it does so in time.
pub(super) async fn within_timeout<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(STATEMENT_TIMEOUT, work).await;
    answer.map_err(|_| StoreError::Unavailable("no answer to a statement".into()))
}

/// Returns the result of a statement, if it comes in time.
pub(super) async fn statement_result<T>(work: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    Ok(within_timeout(work).await??)
}
