//! What stands between a user and the domain: `+list` in `ann+list@example.org`.

use crate::canonical::memrchr;
use mail::Address;

/// Whether a key of a table holds the extension; one for a whole domain leaves none unmatched.
pub(crate) fn is_in(key: &str, extension: &str) -> bool {
    let local = key.rsplit_once('@').map_or(key, |(local, _)| local);
    local.is_empty() || local.trim_end_matches('"').ends_with(extension)
}

/// The address with an extension behind its local part.
pub(crate) fn appended(address: &Address, extension: &[u8]) -> Address {
    if extension.is_empty() {
        return address.clone();
    }
    let bytes = address.as_bytes();
    let at = memrchr(b'@', bytes).unwrap_or(bytes.len());
    Address::new([&bytes[..at], extension, &bytes[at..]].concat())
}
