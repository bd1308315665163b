//! A message that comes in and is not committed yet.

use bytes::Bytes;
use mail::QueueId;
use std::io;

/// Why a piece of content was not taken.
#[derive(Debug)]
pub enum DraftError {
    /// The memory budget and the disk's share for large messages are both used up; the client gets 452.
    NoRoom,
    /// The file of a large message could not be written; the client gets 451.
    Io(io::Error),
}

/// A message that comes in: its content so far, within the memory budget that all drafts share, or in a file.
///
/// Dropping a draft forgets it and gives back its memory or removes its file.
pub struct Draft {
    id: QueueId,
}

impl Draft {
    /// The id that the message gets.
    pub fn queue_id(&self) -> &QueueId {
        &self.id
    }

    /// Appends a piece of content in canonical form (CRLF lines, no stuffing). Pieces break anywhere.
    ///
    /// Keeps large pieces as they are and gathers small ones. Beyond the large threshold or the budget it writes to
    /// a file below `journal/large/`, which may block for the time of a `write(2)`.
    pub fn append(&mut self, _piece: Bytes) -> Result<(), DraftError> {
        todo!()
    }

    /// Bytes of content so far.
    pub fn size(&self) -> u64 {
        todo!()
    }
}
