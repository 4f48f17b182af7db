//! The caller of a call: a user with a valid session.

use crate::model::{SessionId, User};
use crate::store::SessionRow;

/// A caller with a valid session.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The id of the session.
    pub session: SessionId,
    /// The user of the session.
    pub user: User,
    /// The row of the session.
    pub row: SessionRow,
}
