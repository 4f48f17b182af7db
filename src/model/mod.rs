//! Values that cannot be wrong. They are parsed once at the edge (`http`, `store`) and never checked again. This layer
//! contains no HTTP, no SQL and no tasks.

pub mod clock;
pub mod content;
pub mod cursor;
pub mod event_id;
pub mod group;
pub mod ids;
pub mod message;
pub mod presence;
pub mod text;
pub mod time;
pub mod topic;
mod varint;

pub use clock::Clock;
pub use content::Content;
pub use ids::{CheckpointId, GroupId, MessageId, SessionId, StreamId, UserId};
pub use message::{Code, Effect, Entry, EphemeralEvent, Message, Seq, User};
pub use presence::Presence;
pub use time::Millis;
pub use topic::{TopicId, TopicKey, TopicKind};
