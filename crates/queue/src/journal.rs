//! The journal's bytes: segments, their headers, and records that are believed only with the segment's secret.
//!
//! `docs/queue-format.md` describes them; the test `the_bytes_are_those_of_version_1` holds an example.

mod header;
mod payload;
mod walk;

pub use header::{COUNTERS_PER_SEGMENT, DATA_START, Header, HeaderError, SEGMENT_BYTES_MAX};
pub use payload::{
    Event, MESSAGE_HEAD_BYTES, MessageHead, PayloadError, SubRecords, decode_event, encode_event, put_sub,
};
pub use walk::{Found, RECORD_HEAD_BYTES, RawRecord, Seal, Walk};

use std::fmt;
use std::path::PathBuf;

/// Names a segment; never used twice in a queue directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// Stands in keys for queue files, which lie in no segment.
    pub const FILES: SegmentId = SegmentId(0);

    /// Path of the segment below the queue directory.
    pub fn path(self) -> PathBuf {
        PathBuf::from(format!("journal/{self}.seg"))
    }

    /// Path of a segment that holds nothing any more and waits to be used again.
    pub fn free_path(self) -> PathBuf {
        PathBuf::from(format!("journal/{self}.free"))
    }

    /// Path of a segment that is kept so that outcomes can be written on a full disk.
    pub fn reserve_path(self) -> PathBuf {
        PathBuf::from(format!("journal/{self}.reserve"))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// What a file in `journal/` is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SegmentState {
    /// Holds records, or will.
    Used,
    /// Waits to be used again.
    Free,
    /// Kept for a full disk.
    Reserve,
}

/// Reads the name of a file in `journal/`.
pub fn parse_segment_name(name: &str) -> Option<(SegmentId, SegmentState)> {
    let (id, state) = name.split_once('.')?;
    let state = match state {
        "seg" => SegmentState::Used,
        "free" => SegmentState::Free,
        "reserve" => SegmentState::Reserve,
        _ => return None,
    };
    let valid = id.len() >= 12 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let id = u64::from_str_radix(id, 16).ok().filter(|&id| valid && id != 0)?;
    Some((SegmentId(id), state))
}

/// Names a message: where its record lies, or which file it is. Never by its queue id, which other hands may reuse.
///
/// A message keeps its key while the process lives, also when it moves from the journal to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// The segment, or [`SegmentId::FILES`].
    pub segment: SegmentId,
    /// The record's offset in units of 8 bytes; for a file its inode.
    pub index: u64,
}

impl MessageKey {
    /// The key of a queue file.
    pub fn file(inode: u64) -> Self {
        MessageKey { segment: SegmentId::FILES, index: inode }
    }

    /// Whether it names a queue file that was found as one.
    pub fn is_file(self) -> bool {
        self.segment == SegmentId::FILES
    }
}

/// Which process writes a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Takes mail in.
    Smtpd = 1,
    /// Owns the queue: outcomes, and the mail that the mail system writes itself.
    Qmgr = 2,
}

/// The numbers of record kinds as they lie on disk.
pub mod kind {
    /// A message: head, envelope, content.
    pub const MESSAGE: u8 = 1;
    /// What became of a recipient.
    pub const OUTCOME: u8 = 2;
    /// A delivery begins, or was found in flight at a crash.
    pub const ATTEMPT: u8 = 3;
    /// When the message is to be tried again.
    pub const RETRY: u8 = 4;
    /// On hold, or released.
    pub const HOLD: u8 = 5;
    /// The message is a queue file now.
    pub const MOVED: u8 = 6;
    /// Nothing counts in that segment behind that offset.
    pub const VOID: u8 = 7;
    /// Several records, which count together or not at all.
    pub const GROUP: u8 = 8;
    /// The delay warning was sent.
    pub const WARNED: u8 = 9;
    /// Removed by an administrator.
    pub const REMOVED: u8 = 10;
    /// Has another id.
    pub const RENAMED: u8 = 11;
    /// A range without records was dealt with.
    pub const JUDGED: u8 = 12;
    /// A report tells of these recipients of a queue file.
    pub const TOLD: u8 = 13;
    /// The message lies in a later segment, too, which counts.
    pub const COPIED: u8 = 14;
    /// The highest of all.
    pub const LAST: u8 = COPIED;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::put_event;
    use mail::Timestamp;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .chunks(16)
            .map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n")
            .collect()
    }

    /// Whatever changes here needs another version, since an upgrade may find a journal of the old one.
    #[test]
    fn the_bytes_are_those_of_version_1() {
        let header = Header {
            id: SegmentId(0x2a),
            role: Role::Smtpd,
            capacity: 8 << 20,
            secret: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
            counter_first: Header::counters(SegmentId(0x2a)).start,
            opened: Timestamp::from_micros(1_700_000_000_000_000),
        };
        let mut bytes = header.encode().to_vec();
        assert_eq!(Header::decode(&bytes), Ok(header));
        let seal = Seal::new(header.id, header.secret);
        let key = MessageKey { segment: SegmentId(0x29), index: 512 };
        let at = Timestamp::from_micros(1_700_000_300_000_000);
        put_event(&mut bytes, &seal, DATA_START - Header::LEN as u64, DATA_START, &Event::Retry(key, at));
        assert_eq!(hex(&bytes), GOLDEN);
    }

    const GOLDEN: &str = "\
50486a6f75726e0a0100000001000000
2a000000000000000000800000000000
efcdab89674523011032547698badcfe
0000a0020000000000401e18240a0600
b4ec787b7d37c2f72405e095ef45330c
18000000040000000010000000000000
199a4f5515e371002900000000000000
000200000000000000e3ff29240a0600
";

    #[test]
    fn only_names_that_we_make_are_segments() {
        let name = |s: &str| parse_segment_name(s);
        assert_eq!(name("00000000000a.seg"), Some((SegmentId(10), SegmentState::Used)));
        assert_eq!(name("00000000000a.free"), Some((SegmentId(10), SegmentState::Free)));
        for bad in [
            "a.seg",
            "00000000000A.seg",
            "000000000000.seg",
            "00000000000a",
            "00000000000a.tmp",
            "large",
            "+0000000000a.seg",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
