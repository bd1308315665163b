//! Queue files in Postfix's format: read, write, mark.
//!
//! A file is `C` (sizes, patched at the end), the envelope, `M`, the content as `N` and `L` records, `X`, what was
//! extracted from the content, `E`. Postfix reads what is written here, and files of Postfix's are read here, those
//! that its cleanup edited for a milter too.

use crate::record::Damaged;
use mail::{Content, Envelope};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Positional reading of a file, which the queue's disk and `std::fs::File` offer alike.
pub trait ReadAt: Send + Sync {
    /// Reads into `buf` from `offset` on; gives how many bytes, 0 only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Positional writing, for marks in a file.
pub trait WriteAt {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Where a recipient stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientMark {
    /// Offset of its record, for [`mark_done`] and for the defer log.
    pub offset: u64,
    /// Whether it needs no delivery any more.
    pub done: bool,
}

/// A queue file, read.
#[derive(Clone, Debug)]
pub struct FileMessage {
    /// The envelope with all recipients, done or not, in the order of the file.
    pub envelope: Envelope,
    /// For each recipient of the envelope, where it stands and whether it is done.
    pub marks: Vec<RecipientMark>,
    /// Header and body; reads the file again when asked.
    pub content: Content,
    /// What Postfix calls the message's size in its log and listings: the length of the content's records.
    pub size: u64,
    /// Offset of the delay warning's record, where there is one.
    pub warn_offset: Option<u64>,
}

/// Why a queue file could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file is no queue file, or not a whole one: it belongs into `corrupt/`.
    Damaged(Damaged),
    /// The disk failed: the file may be good, try again later.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Damaged(damaged) => damaged.fmt(f),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<Damaged> for ReadError {
    fn from(damaged: Damaged) -> Self {
        ReadError::Damaged(damaged)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

/// Reads a queue file as a whole, up to its end record; the content is looked through, not kept.
pub fn read(file: Arc<dyn ReadAt>) -> Result<FileMessage, ReadError> {
    let _ = file;
    todo!()
}

/// Marks a recipient as done. Nothing is synced: a lost mark repeats a delivery.
pub fn mark_done<F: ReadAt + WriteAt + ?Sized>(file: &F, offset: u64) -> Result<(), ReadError> {
    let _ = (file, offset);
    todo!()
}

/// Notes in the file that the delay warning was sent.
pub fn mark_warned<F: WriteAt + ?Sized>(file: &F, warn_offset: u64) -> io::Result<()> {
    let _ = (file, warn_offset);
    todo!()
}

/// Writes one queue file while its content arrives.
///
/// What is written goes to `out` in order, except the head, which [`Writer::finish`] gives back: it belongs at
/// offset 0, before the file is synced. Until then the file is no queue file.
pub struct Writer<W> {
    out: W,
}

/// A queue file whose head is still to be written.
#[derive(Debug)]
pub struct Finished<W> {
    /// What was given to the writer.
    pub out: W,
    /// To be written at offset 0.
    pub head: Vec<u8>,
    /// Length of the file.
    pub file_size: u64,
    /// Where each recipient stands.
    pub marks: Vec<RecipientMark>,
}

impl<W: io::Write> Writer<W> {
    /// Begins a file whose envelope is known.
    pub fn new(out: W, envelope: &Envelope) -> io::Result<Self> {
        let _ = envelope;
        Ok(Writer { out })
    }

    /// Begins a file whose envelope comes at the end: room for it is left in front. An envelope that does not fit is
    /// written behind the content, with a pointer to it.
    pub fn with_room(out: W) -> io::Result<Self> {
        Ok(Writer { out })
    }

    /// Takes the next bytes of the content in canonical form; pieces may break anywhere.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Ends the file. `envelope` is the one that it began with, where it began with one.
    pub fn finish(self, envelope: &Envelope) -> io::Result<Finished<W>> {
        let _ = envelope;
        todo!()
    }
}

/// A whole queue file in memory, for batches of small messages, and where its recipients stand.
pub fn to_bytes(envelope: &Envelope, content: &Content) -> io::Result<(Vec<u8>, Vec<RecipientMark>)> {
    let _ = (envelope, content);
    todo!()
}
