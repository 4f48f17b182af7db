//! Parlour: a chat service that speaks plain HTTP. REST to act, one Server-Sent Events stream per session to listen.
//!
//! Start reading here. [`app`] builds the parts and stops them in order. A request comes in through [`http`], which
//! parses it into values of `model` and hands them to [`chat`], where the rules stand. `store` is the only place that
//! knows the database, and `live` keeps what streams on this instance need: the tails of topics, views of presence, and
//! the streams' positions. Over the `bus`, instances tell each other what is new.
//!
//! Who may import whom: `main → app → all`; `http → chat, live, model`; `chat → store, live, model`;
//! `live → store, bus, model`; `store → entity, model`; `bus → model`. Nothing imports `http`.

pub mod app;
mod bus;
pub mod chat;
pub mod config;
pub mod http;
mod live;
pub mod model;
mod store;
