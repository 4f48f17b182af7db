//! Presence: one session of a user that is visible on one topic.

use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{SessionId, UserId};
use super::time::Millis;

/// A session that is present on a topic.
// Ordered and distinguished by session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Presence {
    /// The id of the user.
    pub user_id: UserId,
    /// The present name of the user.
    #[schema(value_type = String, example = "Ana")]
    pub username: Box<str>,
    /// The id of the session.
    pub session_id: SessionId,
    /// The time since which the session has been online, without a break longer than the grace period.
    pub online_since: Millis,
}
