//! The journal's bytes: segments, their headers, and records that are believed only with the segment's secret.

use std::fmt;

/// Names a segment; never used twice in a queue directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// Stands in keys for queue files, which lie in no segment.
    pub const FILES: SegmentId = SegmentId(0);
}

impl fmt::Display for SegmentId {
    /// The file's name below `journal/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
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

/// Which process writes a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Takes mail in.
    Smtpd = 1,
    /// Owns the queue: outcomes, and the mail that the mail system writes itself.
    Qmgr = 2,
}
