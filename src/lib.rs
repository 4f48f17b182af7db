//! Parlour: a chat service that speaks plain HTTP. REST to act, one Server-Sent Events stream per session to listen.
//!
//! Start reading here. [`app`] builds the parts and stops them in order. A request comes in through [`http`], which
//! parses it into values of `model` and hands them to [`chat`], where the rules stand. `store` is the only place that
//! knows the database, and `live` keeps what streams on this instance need: the tails of topics, views of presence, and
//! the streams' positions. Over the `bus`, instances tell each other what is new.
//!
//! Who may import whom: `main → app → all`; `http → chat, config, live, model`; `chat → config, live, model, store`;
//! `live → bus, model, store`; `store → entity, migration, model`; `bus → model`. `config` and `model` import no layer.
//! Files of one layer form no circles either: `tests/it/architecture.rs` reads these rules from here and holds them.

pub mod app;
mod bus;
pub mod chat;
pub mod config;
pub mod http;
mod live;
pub mod model;
mod store;
