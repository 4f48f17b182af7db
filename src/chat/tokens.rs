//! All signed tokens. User tokens come from the integrator's login and are only verified here; session and stream
//! tokens are the service's own. Each kind has its own keys, and none is ever taken for another.

mod issuer;
mod session;
mod user;

#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub use session::Claims;
pub(super) use session::{SessionTokens, device_hash};
pub use user::{UserTokens, mint_user_token};

type HmacSha256 = Hmac<Sha256>;

/// A key for one purpose: HMAC-SHA256 of the root key over the purpose's label, so that what one purpose reveals is
/// worth nothing in another.
fn derive_key(root: &[u8], label: &str) -> HmacSha256 {
    let key = keyed(root).chain_update(label).finalize().into_bytes();
    keyed(&key)
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}
