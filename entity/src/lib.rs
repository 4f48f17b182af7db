//! The tables as sea-orm entities: one file per table, no logic. Their relations are those that queries of the service use.

pub mod block;
pub mod checkpoint;
pub mod dm;
pub mod group;
pub mod group_member;
pub mod instance;
pub mod joined;
pub mod message;
pub mod meta;
pub mod read_mark;
pub mod session;
pub mod topic;
pub mod user;
