//! Parlour: a chat service that speaks plain HTTP. REST for calls, one Server-Sent Events stream per session for events.
//!
//! This is the map: start reading here. [`app`] builds the parts and stops them in order. A request arrives in `http`,
//! which parses it into values of `model` and passes them to `chat`, where the rules are. `store` is the only layer
//! that reads and writes the database. `live` holds the state that the streams of this instance need: the tails of active
//! topics, presence views, and the positions of the streams. `bus` carries hints between instances.
//!
//! Each layer imports only the layers after its arrow:
//!
//! - `main → app → all`
//! - `http → chat, config, live, model`
//! - `chat → config, live, model, store`
//! - `live → bus, model, store`
//! - `store → entity, migration, model`
//! - `bus → model`
//!
//! `config` and `model` import no layer. The files of a layer do not import each other in a circle. The test
//! `tests/it/architecture.rs` reads these rules from here and checks them.

pub mod app;
mod bus;
mod chat;
pub mod config;
mod http;
mod live;
mod model;
mod store;

// The command line needs these; everything else is private to this crate.
pub use crate::chat::mint_user_token;
pub use crate::http::{openapi_json, openapi_yaml};
pub use crate::model::text::{USERNAME_MAX, is_name};
pub use crate::model::{Clock, UserId};
