//! Records in a segment: how they are checked, and how a reader finds them among damage.
//!
//! A record is believed if its head's check fits the segment's secret, its number and the place where it lies. No
//! sender knows the secret, so nothing in a body is ever taken for a record; and a record of the segment's former
//! life has another secret.

use super::{SegmentId, kind};
use std::hash::Hasher as _;
use std::ops::Range;
use twox_hash::XxHash3_64;

/// Bytes in front of a record's payload.
pub const RECORD_HEAD_BYTES: usize = 32;

/// What makes the checks of a segment its own.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    segment: SegmentId,
    secret: [u64; 2],
}

impl Seal {
    /// The seal of a segment with this secret.
    pub fn new(segment: SegmentId, secret: [u64; 2]) -> Self {
        Seal { segment, secret }
    }

    /// The head of a record at `offset`, whose payload is `payload` in pieces; `durable` is the offset before which
    /// all of the segment is synced already.
    pub fn head<'a>(
        &self,
        offset: u64,
        kind: u8,
        durable: u64,
        payload: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> [u8; RECORD_HEAD_BYTES] {
        let len: usize = payload.clone().map(<[u8]>::len).sum();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let mut head = [0; RECORD_HEAD_BYTES];
        head[8..12].copy_from_slice(&len.to_le_bytes());
        head[12] = kind;
        head[16..24].copy_from_slice(&durable.to_le_bytes());
        head[24..].copy_from_slice(&self.payload_check(offset, payload).to_le_bytes());
        let check = self.head_check(offset, &head);
        head[..8].copy_from_slice(&check.to_le_bytes());
        head
    }

    fn head_check(&self, offset: u64, head: &[u8; RECORD_HEAD_BYTES]) -> u64 {
        let mut keyed = [0; 48];
        keyed[..8].copy_from_slice(&self.secret[1].to_le_bytes());
        keyed[8..16].copy_from_slice(&self.segment.0.to_le_bytes());
        keyed[16..24].copy_from_slice(&offset.to_le_bytes());
        keyed[24..].copy_from_slice(&head[8..]);
        XxHash3_64::oneshot_with_seed(self.secret[0], &keyed)
    }

    fn payload_check<'a>(&self, offset: u64, mut pieces: impl Iterator<Item = &'a [u8]>) -> u64 {
        let seed = self.secret[1] ^ self.segment.0.rotate_left(40) ^ offset;
        let first = pieces.next().unwrap_or_default();
        let Some(second) = pieces.next() else { return XxHash3_64::oneshot_with_seed(seed, first) };
        let mut hasher = XxHash3_64::with_seed(seed);
        hasher.write(first);
        hasher.write(second);
        for piece in pieces {
            hasher.write(piece);
        }
        hasher.finish()
    }
}

/// A record whose checks are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Where its head lies in the segment.
    pub offset: u64,
    /// Its kind, one of [`kind`].
    pub kind: u8,
    /// Everything before this offset was synced before the record was written.
    pub durable: u64,
    /// Its payload.
    pub payload: &'a [u8],
}

impl RawRecord<'_> {
    /// Where its payload lies in the segment.
    pub fn payload_offset(&self) -> u64 {
        self.offset + RECORD_HEAD_BYTES as u64
    }
}

/// What a reader comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record.
    Record(RawRecord<'a>),
    /// Bytes that are no record, in front of another record. Never written, torn, or damaged: whoever knows up to where the segment was durable can tell.
    Gap(Range<u64>),
}

/// Walks over a piece of a segment. Never fails: what is no record is a gap; the rest without any record just ends.
pub struct Walk<'a> {
    seal: Seal,
    bytes: &'a [u8],
    base: u64,
    at: usize,
    #[cfg(feature = "faults")]
    believes_torn: bool,
}

impl<'a> Walk<'a> {
    /// Walks over `bytes`, which lie at offset `base` (a multiple of 8) of the segment.
    pub fn new(seal: Seal, bytes: &'a [u8], base: u64) -> Self {
        Walk {
            seal,
            bytes,
            base,
            at: 0,
            #[cfg(feature = "faults")]
            believes_torn: crate::faults::planted(crate::faults::Fault::TornRecordAccepted),
        }
    }

    /// Behind the last record found; from here to the end of the bytes nothing is one.
    pub fn end(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Whether a head that can be believed lies at the current place.
    pub(crate) fn has_head(&self) -> bool {
        self.head_at(self.at).is_some()
    }

    /// The head at `at`, if one is there: kind, durable offset, length of the payload, payload's check.
    fn head_at(&self, at: usize) -> Option<(u8, u64, usize, u64)> {
        let head: &[u8; RECORD_HEAD_BYTES] = self.bytes.get(at..)?.first_chunk()?;
        let kind = head[12];
        // Cheap tests first: this runs at every eighth byte of a segment's unused rest.
        if kind == 0 || kind > kind::LAST || head[13..16] != [0; 3] {
            return None;
        }
        let number = |n: usize| u64::from_le_bytes(std::array::from_fn(|i| head[n + i]));
        if number(0) != self.seal.head_check(self.base + at as u64, head) {
            return None;
        }
        let len = u32::from_le_bytes(std::array::from_fn(|i| head[8 + i]));
        Some((kind, number(16), usize::try_from(len).ok()?, number(24)))
    }

    /// The record whose head is at `at`, if payload and check are right.
    fn record_at(&self, at: usize) -> Option<(RawRecord<'a>, usize)> {
        let (kind, durable, len, check) = self.head_at(at)?;
        let start = at + RECORD_HEAD_BYTES;
        let payload = self.bytes.get(start..start.checked_add(len)?)?;
        let offset = self.base + at as u64;
        let fits = self.seal.payload_check(offset, std::iter::once(payload)) == check;
        #[cfg(feature = "faults")]
        let fits = fits || self.believes_torn;
        if !fits {
            return None;
        }
        let next = (start + len).next_multiple_of(8).min(self.bytes.len());
        Some((RawRecord { offset, kind, durable, payload }, next))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if let Some((record, next)) = self.record_at(self.at) {
            self.at = next;
            return Some(Found::Record(record));
        }
        // A head that can be believed tells how long the damaged record is: nothing within it is looked at.
        let skip = self.head_at(self.at).map_or(8, |(_, _, len, _)| RECORD_HEAD_BYTES.saturating_add(len));
        let mut next = self.at.saturating_add(skip).next_multiple_of(8);
        while next < self.bytes.len() {
            match self.head_at(next) {
                Some(_) if self.record_at(next).is_some() => {
                    let gap = self.end()..self.base + next as u64;
                    self.at = next;
                    return Some(Found::Gap(gap));
                }
                Some((_, _, len, _)) => {
                    next = next.saturating_add(RECORD_HEAD_BYTES).saturating_add(len).next_multiple_of(8);
                }
                None => next += 8,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
