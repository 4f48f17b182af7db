//! Values that cannot be wrong. They are parsed once at the edge (`http`, `store`) and never checked again. This layer
//! contains no HTTP, no SQL and no tasks.

pub(crate) mod clock;
pub(crate) mod content;
pub(crate) mod cursor;
pub(crate) mod event_id;
pub(crate) mod group;
pub(crate) mod ids;
pub(crate) mod message;
pub(crate) mod presence;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod topic;
mod varint;

pub use clock::Clock;
pub(crate) use content::Content;
pub use ids::UserId;
pub(crate) use ids::{CheckpointId, GroupId, MessageId, SessionId, StreamId};
pub(crate) use message::{Code, Effect, Entry, EphemeralEvent, Message, Seq, User};
pub(crate) use presence::Presence;
pub(crate) use time::Millis;
pub(crate) use topic::{TopicId, TopicKey, TopicKind};
