//! Texts one behind the other in one buffer: what is noted for every command must not cost an allocation each.
//!
//! They are records of [`mail::wire`].

use mail::wire;
pub(crate) use mail::wire::take;
use std::fmt::{self, Display, Write as _};

/// A buffer of texts; what is written beyond its bound is left out and said to be.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
}

impl Packed {
    pub(crate) fn with_capacity(bytes: usize) -> Packed {
        Packed { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Box<[u8]> {
        self.bytes.into_boxed_slice()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Takes back what stands behind the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Adds a text.
    pub(crate) fn put(&mut self, text: impl Display) {
        // Writing into memory cannot fail; a Display that fails leaves a shorter text.
        wire::put_framed(&mut self.bytes, |bytes| {
            let _ = write!(Writer(bytes), "{text}");
        });
    }

    /// Adds bytes.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        wire::put(&mut self.bytes, bytes);
    }
}

/// Takes the next text from the front; nothing at the end, or where it is cut short.
pub(crate) fn take_text(bytes: &mut &[u8]) -> Option<String> {
    take(bytes).map(|text| String::from_utf8_lossy(text).into_owned())
}

struct Writer<'a>(&'a mut Vec<u8>);

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_order_and_a_cut_one_does_not() {
        let mut packed = Packed::default();
        packed.put(format_args!("{}-{}", 1, 2));
        packed.put("");
        packed.put_bytes(b"\xff");
        let whole = packed.into_bytes();
        let mut rest = &whole[..];
        assert_eq!(take_text(&mut rest).as_deref(), Some("1-2"));
        assert_eq!(take(&mut rest), Some(&b""[..]));
        assert_eq!(take(&mut rest), Some(&b"\xff"[..]));
        assert_eq!(take(&mut rest), None);
        let mut cut = &whole[..6];
        assert_eq!(take(&mut cut), None);
    }
}
