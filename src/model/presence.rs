//! Presence: one session of a user that is visible on one topic.

use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{SessionId, UserId};
use super::time::Millis;

/// Somebody is there. Ordered and told apart by session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Presence {
    /// Who.
    pub user_id: UserId,
    /// How they are called now.
    #[schema(value_type = String, example = "Ana")]
    pub username: Box<str>,
    /// On which device.
    pub session_id: SessionId,
    /// Since when that device has been online without a break longer than the grace period.
    pub online_since: Millis,
}
