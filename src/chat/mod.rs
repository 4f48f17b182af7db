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

pub(crate) use caller::Caller;
pub(crate) use error::ChatError;
pub(crate) use groups::{CreateGroup, GroupQuery};
pub(crate) use history::{HistoryPage, HistoryQuery, HistoryStart};
pub(crate) use inbox::InboxPage;
pub(crate) use messages::{NewMessage, SendOutcome};
pub(crate) use service::{Chat, ChatSettings};
pub(crate) use sessions::OpenedSession;
pub use tokens::mint_user_token;
pub(crate) use tokens::{Claims, UserTokens};
pub(crate) use topics::{JoinedTopic, TopicInfo};

// Values that the calls of `Chat` return as the store reads them.
pub(crate) use crate::store::{
    Block, GroupCursor, GroupPatch, GroupRow, InboxTopic, Join, MemberRow, Resume, SessionRow,
};
