//! The rules of the service, one file per noun. HTTP handlers read and change the database only through [`Chat`], so
//! that no call can skip the check of what its caller may do. This layer contains no SQL and no axum.
//!
//! `service` holds the [`Chat`] value; each noun's file adds its calls to it. Handlers reach the hub in one more way:
//! `http::service` reads the figures for `/readyz` and `/metrics` from [`Chat::hub`], which need no rule.

mod blocks;
mod caller;
mod changes;
mod error;
mod groups;
mod history;
mod inbox;
mod log;
mod members;
mod messages;
mod recent_calls;
mod service;
mod sessions;
mod tokens;
mod topics;
mod typing;
mod typing_limit;
mod upkeep;
mod users;

pub use caller::Caller;
pub use error::ChatError;
pub use groups::{CreateGroup, GroupQuery};
pub use history::{HistoryPage, HistoryQuery, HistoryStart};
pub use inbox::InboxPage;
pub use messages::{NewMessage, SendOutcome};
pub use service::{Chat, ChatSettings};
pub use sessions::OpenedSession;
pub use tokens::{Claims, UserTokens, mint_user_token};
pub use topics::{JoinedTopic, TopicInfo};

// Values that the calls of `Chat` return as the store reads them.
pub use crate::store::{
    Block, GroupCursor, GroupPatch, GroupRow, InboxTopic, Join, MemberRow, ReadMark, Resume, SessionRow,
};
