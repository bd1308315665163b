//! Our own index, `NAME.phx`: a constant database, and behind it a trailer that tells whether it is whole.
//!
//! Trailer, 32 bytes: `PHXINDEX`, version (4, little-endian), 0 (4), bytes of the database (8), their XXH3 (8). Entries
//! are sorted by key. Tools for constant databases read the file, since they do not look behind the hash tables.

use super::bytes::{Bytes, u32_le, u64_le};
use super::cdb::{self, Cdb};
use twox_hash::XxHash3_64;

const MAGIC: &[u8; 8] = b"PHXINDEX";
const VERSION: u32 = 1;
const TRAILER: usize = 32;
/// Bytes that are read at once to verify the sum.
const CHUNK: usize = 1 << 18;

/// Opens an index after its sum was verified.
pub(super) fn open(bytes: Bytes) -> Result<Cdb, String> {
    let length = bytes.length()?;
    let Some(body) = length.checked_sub(TRAILER as u64) else {
        return Err(format!("expected an index of at least {TRAILER} bytes, found {length}"));
    };
    let trailer = bytes.exact(body, TRAILER)?;
    if !trailer.starts_with(MAGIC) || u64_le(&trailer, 16) != Some(body) {
        return Err(format!(
            "at byte {body}: expected the trailer of an index, found something else; \
             the file is cut or of another kind: run postmap again"
        ));
    }
    match u32_le(&trailer, 8) {
        Some(VERSION) => {}
        version => {
            return Err(format!(
                "expected version {VERSION} of our index format, found {}: run postmap again",
                version.unwrap_or_default()
            ));
        }
    }
    if u64_le(&trailer, 24) != Some(sum(&bytes, body)?) {
        return Err("the sum does not fit: the file is damaged; run postmap again".to_owned());
    }
    cdb::open(bytes)
}

fn sum(bytes: &Bytes, end: u64) -> Result<u64, String> {
    let mut hasher = XxHash3_64::with_seed(0);
    let mut at = 0;
    while at < end {
        let chunk = bytes.exact(at, (end - at).min(CHUNK as u64) as usize)?;
        std::hash::Hasher::write(&mut hasher, &chunk);
        at += chunk.len() as u64;
    }
    Ok(std::hash::Hasher::finish(&hasher))
}

/// An index of the entries, which are sorted by key.
pub(super) fn write<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Vec<u8>, String> {
    let mut out = cdb::write(entries)?;
    let body = out.len() as u64;
    let sum = XxHash3_64::oneshot(&out);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&body.to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index as _;

    #[test]
    fn an_index_that_is_cut_or_changed_anywhere_is_refused() {
        let whole = write([(&b"a"[..], &b"1"[..]), (b"b", b"2")].into_iter()).unwrap();
        assert_eq!(open(Bytes::Memory(whole.clone())).unwrap().get(b"b"), Ok(Some(b"2".to_vec())));
        for length in 0..whole.len() {
            assert!(open(Bytes::Memory(whole[..length].to_vec())).is_err(), "cut to {length} bytes");
        }
        for at in 0..whole.len() {
            // The four bytes behind the version are free.
            if (whole.len() - 20..whole.len() - 16).contains(&at) {
                continue;
            }
            let mut changed = whole.clone();
            changed[at] ^= 4;
            assert!(open(Bytes::Memory(changed)).is_err(), "byte {at} changed");
        }
    }
}
