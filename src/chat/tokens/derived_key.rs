//! HMAC-SHA256 keys, each derived from a root key for one purpose.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub(super) type HmacSha256 = Hmac<Sha256>;

/// Derives the key for one purpose: HMAC-SHA256 of the root key over the label of the purpose. A key that is revealed is
/// then of no use for another purpose.
pub(super) fn derive_key(root: &[u8], label: &str) -> HmacSha256 {
    let key = keyed(root).chain_update(label).finalize().into_bytes();
    keyed(&key)
}

/// HMAC-SHA256 with this key.
pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}
