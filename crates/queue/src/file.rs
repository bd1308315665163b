//! Queue files in Postfix's format: read, write, mark.
//!
//! A file is `C` (sizes, patched at the end), the envelope, `M`, the content as `N` and `L` records, `X`, what was
//! extracted from the content, `E`. Postfix reads what is written here, and files of Postfix's are read here, those
//! that its cleanup edited for a milter too.

mod content;
pub mod mode;
mod reader;
mod records;
mod size_record;
pub mod submission;
#[cfg(test)]
mod tests;
mod walker;
mod writer;

pub use reader::{FileEnvelope, FileMessage, read, read_envelope};
pub use records::{FileRecord, FileRecords};
pub use size_record::SizeRecord;
pub use writer::{Finished, Writer, to_bytes};

use crate::DiskFile;
use crate::record::{Damaged, kind};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Postfix's `line_length_limit`: longer lines are split into records of this length.
const LINE_LENGTH_LIMIT: usize = mail::LINE_RECORD_MAX;

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

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }
}

impl WriteAt for std::fs::File {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }
}

/// A file of the queue's disk, for reading and marking.
#[derive(Clone)]
pub struct OnDisk(pub Arc<dyn DiskFile>);

impl ReadAt for OnDisk {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

impl WriteAt for OnDisk {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Where a recipient stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientMark {
    /// Offset of its record, for [`mark_done`] and for the defer log.
    pub offset: u64,
    /// Whether it needs no delivery any more.
    pub done: bool,
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

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damaged) => io::Error::new(io::ErrorKind::InvalidData, damaged),
            ReadError::Io(error) => error,
        }
    }
}

/// Marks a recipient as done. Nothing is synced: a lost mark repeats a delivery.
pub fn mark_done<F: ReadAt + WriteAt + ?Sized>(file: &F, offset: u64) -> Result<(), ReadError> {
    let mut found = [0];
    let n = file.read_at(offset, &mut found)?;
    // Other hands may have changed the file: anything but a recipient's type byte is left alone.
    if n == 0 || !matches!(found[0], kind::RECIPIENT | kind::DONE) {
        return Err(Damaged::new(offset, "no recipient to be marked as done").into());
    }
    Ok(file.write_all_at(offset, &[kind::DONE])?)
}

/// Notes in the file that the delay warning was sent.
pub fn mark_warned<F: WriteAt + ?Sized>(file: &F, warn_offset: u64) -> io::Result<()> {
    let mut record = Vec::new();
    crate::record::put(&mut record, kind::WARN, format!("{:15}", 0).as_bytes());
    file.write_all_at(warn_offset, &record)
}
