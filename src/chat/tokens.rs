//! All signed tokens. User tokens come from the integrator's login and are only verified here. Session and stream tokens
//! are issued by the service itself. Each kind has its own keys, so that no token is accepted as one of another kind.

mod derived_key;
mod issuer;
mod session;
mod user;

#[cfg(test)]
mod tests;

pub(crate) use session::Claims;
pub(super) use session::{SessionTokens, device_hash};
pub(crate) use user::UserTokens;
pub use user::mint_user_token;
