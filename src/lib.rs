//! Parlour: a chat service that speaks plain HTTP. REST to act, one Server-Sent Events stream per session to listen.
//!
//! Start reading here. A request comes in through [`http`], which parses it into values of [`model`] and hands them to
//! [`chat`], where the rules stand. `store` is the only place that knows the database, `live` keeps what streams on
//! this instance need, and `bus` carries hints between instances. [`app`] builds the parts and stops them in order.

pub mod model;
mod store;
mod chat {
    pub mod error;
    pub use error::ChatError;
}
pub mod live;
