//! Postfix's record stream: one type byte, a length in groups of 7 bits, the data.
//!
//! Queue files, `maildrop/` files and the input of `postdrop` are such streams, and the journal keeps its envelopes
//! in this form too, so that one codec serves all. There is no checksum; a damaged stream is told by its offset.

mod envelope;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use envelope::{Added, EnvelopeBuilder, Form, encode_head, encode_recipient, number, shown};
pub use envelope::{decode_envelope, encode_envelope};

use std::borrow::Cow;
use std::fmt;

/// The types of records, named by what they hold.
pub mod kind {
    /// Sizes and counts; the first record of a queue file.
    pub const SIZE: u8 = b'C';
    /// Arrival time.
    pub const TIME: u8 = b'T';
    /// Full name of a local sender.
    pub const FULL_NAME: u8 = b'F';
    /// Content inspection transport (unused).
    pub const INSPECT: u8 = b'I';
    /// Content filter; within the content: a piece of a line that goes on in the next record.
    pub const FILTER: u8 = b'L';
    /// Within the content: a piece of a line that goes on in the next record.
    pub const LINE_PIECE: u8 = b'L';
    /// Envelope sender.
    pub const SENDER: u8 = b'S';
    /// Recipient whose delivery is not finished.
    pub const RECIPIENT: u8 = b'R';
    /// Recipient that needs no delivery any more.
    pub const DONE: u8 = b'D';
    /// Recipient that a filter took away.
    pub const CANCELLED: u8 = b'/';
    /// Address of the next recipient before rewriting.
    pub const ORIGINAL: u8 = b'O';
    /// When a delay warning is due.
    pub const WARN: u8 = b'W';
    /// `name=value`.
    pub const ATTRIBUTE: u8 = b'A';
    /// Overwritten, to be skipped.
    pub const KILLED: u8 = b'K';
    /// The content begins.
    pub const CONTENT: u8 = b'M';
    /// A line, or the last piece of one.
    pub const LINE: u8 = b'N';
    /// Room for a pointer, to be skipped.
    pub const PADDING: u8 = b'w';
    /// The next record is at another offset.
    pub const POINTER: u8 = b'p';
    /// The segment of what was found in the content begins.
    pub const EXTRACTED: u8 = b'X';
    /// The end.
    pub const END: u8 = b'E';
}

/// Longest data of a record outside the content. Postfix's own are shorter than `line_length_limit` (2048), except
/// where a client sent long option values; beyond this it is damage.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// More groups than this do not fit 63 bits of length.
const LENGTH_GROUPS_MAX: usize = 9;

/// Input that is no such stream: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Offset of the record at fault.
    pub offset: u64,
    /// What was found.
    pub what: Cow<'static, str>,
}

impl Damaged {
    pub(crate) fn new(offset: u64, what: impl Into<Cow<'static, str>>) -> Self {
        Damaged { offset, what: what.into() }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record at offset {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for Damaged {}

/// A record in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where its type byte is.
    pub offset: u64,
    /// Its type.
    pub kind: u8,
    /// Its data.
    pub data: &'a [u8],
}

/// Appends one record.
pub fn put(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    put_head(out, kind, data.len() as u64);
    out.extend_from_slice(data);
}

/// Appends type and length of a record whose `length` bytes of data follow.
pub fn put_head(out: &mut Vec<u8>, kind: u8, length: u64) {
    out.push(kind);
    let mut rest = length;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends the attribute record `name=value`.
pub fn put_attribute(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    put_head(out, kind::ATTRIBUTE, (name.len() + 1 + value.len()) as u64);
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

/// Type, data length and length of both, of the record at the beginning of `bytes`; `None` where more bytes are needed.
pub(crate) fn parse_head(bytes: &[u8], offset: u64) -> Result<Option<(u8, u64, usize)>, Damaged> {
    let Some((&kind, groups)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0u64;
    for (n, &group) in groups.iter().enumerate() {
        if n == LENGTH_GROUPS_MAX {
            return Err(Damaged::new(offset, "length of more than 63 bits"));
        }
        length |= u64::from(group & 0x7f) << (7 * n);
        if group & 0x80 == 0 {
            return Ok(Some((kind, length, n + 2)));
        }
    }
    Ok(None)
}

/// The records of a stream that is in memory as a whole, in the order in which they lie there.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// The records of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Records { bytes, at: 0 }
    }

    /// Where the next record begins.
    pub fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damaged>;

    /// The next record; after an error nothing more comes.
    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.bytes.len() {
            return None;
        }
        let offset = self.at as u64;
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        let (kind, length, head) = match parse_head(rest, offset) {
            Err(damaged) => return Some(Err(damaged)),
            Ok(None) => return Some(Err(Damaged::new(offset, "cut off within its length"))),
            Ok(Some(head)) => head,
        };
        let Some(data) = usize::try_from(length).ok().and_then(|n| rest[head..].get(..n)) else {
            let what = format!("{length} bytes of data expected, {} found", rest.len() - head);
            return Some(Err(Damaged::new(offset, what)));
        };
        self.at = offset as usize + head + data.len();
        Some(Ok(Record { offset, kind, data }))
    }
}
