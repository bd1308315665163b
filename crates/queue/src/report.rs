//! What the queue has to tell an administrator: values, which the role logs.

use crate::SegmentId;
use mail::QueueId;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Takes what the queue has to report; it may be called on any thread and must not block.
pub type Reporter = Arc<dyn Fn(&Report) + Send + Sync>;

/// Something that an administrator should read. `Display` is the text of the log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Bytes that were durable once do not read as what was written.
    Damaged {
        /// The file, relative to the queue directory.
        file: String,
        /// Which bytes.
        bytes: Range<u64>,
        /// Where they were saved, relative to the queue directory.
        saved: String,
        /// What is wrong with them.
        what: String,
    },
    /// The end of a segment was never acknowledged and is dropped after a crash.
    TornTail {
        /// The file, relative to the queue directory.
        file: String,
        /// Which bytes.
        bytes: Range<u64>,
    },
    /// A write or a sync failed; nothing behind the offset counts, and another segment is used.
    Sealed {
        /// The segment.
        segment: SegmentId,
        /// Where what counts ends.
        durable: u64,
        /// What the operating system said.
        error: String,
    },
    /// No new segment could be opened, so that mail is refused for now.
    NoSegment {
        /// What the operating system said, or which limit is reached.
        error: String,
    },
    /// A message was in flight at several crashes and goes to hold.
    Suspect {
        /// The message.
        queue_id: QueueId,
        /// At how many crashes.
        crashes: u8,
    },
    /// A queue file of this name was there already, so the message has another id now.
    Renamed {
        /// The id that the client was told.
        old: QueueId,
        /// The id from now on.
        new: QueueId,
    },
    /// An operation failed and will be tried again.
    Failed {
        /// What was tried, on which file.
        action: String,
        /// What the operating system said.
        error: String,
    },
}

impl Report {
    /// Whether this is an error rather than a notice.
    pub fn is_error(&self) -> bool {
        !matches!(self, Report::TornTail { .. } | Report::Renamed { .. })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Damaged { file, bytes, saved, what } => {
                write!(
                    f,
                    "{file}: bytes {} to {} are damaged ({what}); saved in {saved}",
                    bytes.start, bytes.end
                )
            }
            Report::TornTail { file, bytes } => {
                write!(f, "{file}: bytes {} to {} were never acknowledged, dropped", bytes.start, bytes.end)
            }
            Report::Sealed { segment, durable, error } => {
                write!(f, "journal/{segment}: sealed at byte {durable}: {error}")
            }
            Report::NoSegment { error } => {
                write!(f, "cannot open a journal segment: {error}; mail is refused for now")
            }
            Report::Suspect { queue_id, crashes } => {
                write!(f, "{queue_id}: in delivery at {crashes} crashes in a row, placed on hold")
            }
            Report::Renamed { old, new } => {
                write!(f, "{old}: a queue file of this name exists, the message is {new} now")
            }
            Report::Failed { action, error } => write!(f, "{action}: {error}; will try again"),
        }
    }
}
