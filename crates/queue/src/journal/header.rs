//! The header of a segment.

use super::{Role, SegmentId};
use mail::Timestamp;
use std::fmt;
use std::ops::Range;
use twox_hash::XxHash3_64;

/// Where the first record lies. The header has a page of its own, so that no record's write touches it again.
pub const DATA_START: u64 = 4096;

/// How many queue ids a segment brings along. A segment is opened early when three quarters of them are given out.
pub const COUNTERS_PER_SEGMENT: u64 = 1 << 20;

/// Largest segment: it is read as a whole on recovery.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 28;

/// Tells segments from other files.
const MAGIC: [u8; 8] = *b"PHjourn\n";

/// Version of everything below `journal/`. Another version's journal is never read: an upgrade stops first, which empties it.
const VERSION: u32 = 1;

/// Keeps the header's check apart from those of other formats.
const HEADER_SEED: u64 = 0x5048_6a6f_7572_6e31;

/// What a segment says about itself, in its first sector, so that it is written as a whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The same as in the file's name. A recycled file whose new name was lost in a crash has another one.
    pub id: SegmentId,
    /// Who writes it.
    pub role: Role,
    /// Records end before this offset.
    pub capacity: u64,
    /// Part of every record's check. Nobody but us and root may read it.
    pub secret: [u64; 2],
    /// First of the [`COUNTERS_PER_SEGMENT`] numbers for queue ids that belong to this segment.
    pub counter_first: u64,
    /// When it was opened.
    pub opened: Timestamp,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Nothing was ever written.
    Empty,
    /// Not what we wrote.
    Damaged,
    /// Written by another version.
    Version(u32),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Empty => write!(f, "the segment's header was never written"),
            HeaderError::Damaged => write!(f, "the segment's header fails its check"),
            HeaderError::Version(found) => write!(f, "expected journal format {VERSION}, found {found}"),
        }
    }
}

impl Header {
    /// Bytes of a header on disk.
    pub const LEN: usize = 72;

    /// The header as it lies on disk.
    pub fn encode(&self) -> [u8; Header::LEN] {
        let mut out = [0; Header::LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12] = self.role as u8;
        let numbers = [
            self.id.0,
            self.capacity,
            self.secret[0],
            self.secret[1],
            self.counter_first,
            self.opened.micros() as u64,
        ];
        for (n, number) in numbers.into_iter().enumerate() {
            out[16 + n * 8..24 + n * 8].copy_from_slice(&number.to_le_bytes());
        }
        let check = XxHash3_64::oneshot_with_seed(HEADER_SEED, &out[..64]);
        out[64..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header from the beginning of a segment.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        let bytes: &[u8; Header::LEN] =
            bytes.get(..Header::LEN).and_then(|b| b.try_into().ok()).ok_or(HeaderError::Empty)?;
        if bytes.iter().all(|&b| b == 0) {
            return Err(HeaderError::Empty);
        }
        let number = |n: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[n + i]));
        if bytes[..8] != MAGIC || number(64) != XxHash3_64::oneshot_with_seed(HEADER_SEED, &bytes[..64]) {
            return Err(HeaderError::Damaged);
        }
        let version = u32::from_le_bytes(std::array::from_fn(|i| bytes[8 + i]));
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let role = match bytes[12] {
            1 => Role::Smtpd,
            2 => Role::Qmgr,
            _ => return Err(HeaderError::Damaged),
        };
        let capacity = number(24);
        if !(DATA_START..=SEGMENT_BYTES_MAX).contains(&capacity) {
            return Err(HeaderError::Damaged);
        }
        Ok(Header {
            id: SegmentId(number(16)),
            role,
            capacity,
            secret: [number(32), number(40)],
            counter_first: number(48),
            opened: Timestamp::from_micros(number(56) as i64),
        })
    }

    /// The numbers for queue ids that belong to a segment: no two segments share one.
    pub fn counters(id: SegmentId) -> Range<u64> {
        let first = id.0.saturating_mul(COUNTERS_PER_SEGMENT);
        first..first.saturating_add(COUNTERS_PER_SEGMENT)
    }
}
