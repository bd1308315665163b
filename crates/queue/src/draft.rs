//! A message that comes in and is not committed yet.

use crate::disk::{Disk, DiskFile};
use crate::file;
use crate::segment::{LARGE, is_full, segments};
use bytes::Bytes;
use mail::QueueId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pieces shorter than this are gathered: an iovec and a reference count cost more than the copy.
const PIECE_BYTES_MIN: usize = 256;

/// Pieces of one message that are written without copying; behind them all is gathered. So a group's slices stay
/// within one `pwritev` (IOV_MAX is 1024), and a client that sends many small packets gains nothing by it.
pub(crate) const PIECES_MAX: usize = 96;

/// Gathered pieces are closed at this size.
const GATHER_BYTES: usize = 64 * 1024;

/// Growth of a large message after which the journal's size is looked at again.
const LARGE_CHECK_BYTES: u64 = 16 << 20;

/// Why a piece of content was not taken.
#[derive(Debug)]
pub enum DraftError {
    /// The memory budget and the disk's share for large messages are both used up; the client gets 452.
    NoRoom,
    /// The file of a large message could not be written; the client gets 451.
    Io(io::Error),
}

impl From<io::Error> for DraftError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { DraftError::NoRoom } else { DraftError::Io(error) }
    }
}

/// What all drafts of a process share.
pub(crate) struct Budget {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) large_message_bytes: u64,
    pub(crate) body_memory_max: u64,
    pub(crate) journal_bytes_max: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) used: AtomicU64,
}

impl Budget {
    /// Takes `bytes` of the memory that bodies may use.
    fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.body_memory_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the journal on disk, large files included, is smaller than its limit by `more`.
    fn journal_has_room(&self, more: u64) -> io::Result<bool> {
        let mut total = segments(&*self.disk)?.len() as u64 * self.segment_bytes;
        for entry in self.disk.list(Path::new(LARGE))? {
            // A file that went away in the meantime takes no room.
            total += self.disk.stat(&Path::new(LARGE).join(entry.name)).map_or(0, |stat| stat.len);
        }
        Ok(total.saturating_add(more) <= self.journal_bytes_max)
    }
}

/// A message that comes in: its content so far, within the memory budget that all drafts share, or in a file.
///
/// Dropping a draft forgets it and gives back its memory or removes its file.
pub struct Draft {
    id: QueueId,
    budget: Arc<Budget>,
    pub(crate) pieces: Vec<Bytes>,
    gathered: Vec<u8>,
    size: u64,
    held: u64,
    pub(crate) large: Option<LargeDraft>,
}

/// A large message's file, which is no queue file until its head is written.
pub(crate) struct LargeDraft {
    pub(crate) path: PathBuf,
    pub(crate) writer: Option<file::Writer<Appender>>,
    checked_at: u64,
    pub(crate) kept: bool,
}

impl Draft {
    pub(crate) fn new(id: QueueId, budget: Arc<Budget>) -> Self {
        Draft { id, budget, pieces: Vec::new(), gathered: Vec::new(), size: 0, held: 0, large: None }
    }

    /// The id that the message gets.
    pub fn queue_id(&self) -> &QueueId {
        &self.id
    }

    /// Appends a piece of content in canonical form (CRLF lines, no stuffing). Pieces break anywhere.
    ///
    /// Keeps large pieces as they are and gathers small ones. Beyond the large threshold or the budget it writes to
    /// a file below `journal/large/`, which may block for the time of a `write(2)`.
    pub fn append(&mut self, piece: Bytes) -> Result<(), DraftError> {
        let len = piece.len() as u64;
        if self.large.is_none() {
            let stays = self.size + len < self.budget.large_message_bytes && self.budget.take(len);
            if stays {
                self.held += len;
            } else {
                self.become_large()?;
            }
        }
        self.size += len;
        match &mut self.large {
            Some(large) => {
                if self.size - large.checked_at >= LARGE_CHECK_BYTES {
                    large.checked_at = self.size;
                    if !self.budget.journal_has_room(LARGE_CHECK_BYTES)? {
                        return Err(DraftError::NoRoom);
                    }
                }
                Ok(large.write(&piece)?)
            }
            None => {
                self.keep(piece);
                Ok(())
            }
        }
    }

    /// Bytes of content so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn keep(&mut self, piece: Bytes) {
        if piece.len() < PIECE_BYTES_MIN || self.pieces.len() >= PIECES_MAX {
            self.gathered.extend_from_slice(&piece);
            if self.gathered.len() >= GATHER_BYTES {
                self.close_gathered();
            }
        } else {
            self.close_gathered();
            self.pieces.push(piece);
        }
    }

    /// Makes `pieces` hold all of the content that is in memory.
    pub(crate) fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.gathered)));
        }
    }

    /// Moves what there is into a file of its own.
    pub(crate) fn become_large(&mut self) -> Result<(), DraftError> {
        if !self.budget.journal_has_room(self.budget.large_message_bytes)? {
            return Err(DraftError::NoRoom);
        }
        let path = Path::new(LARGE).join(self.id.as_str());
        let file = self.budget.disk.create(&path)?;
        let writer = file::Writer::with_room(Appender { file, at: 0 })?;
        self.large = Some(LargeDraft { path, writer: Some(writer), checked_at: self.size, kept: false });
        self.close_gathered();
        let pieces = std::mem::take(&mut self.pieces);
        self.budget.give_back(std::mem::take(&mut self.held));
        if let Some(large) = &mut self.large {
            for piece in pieces {
                large.write(&piece)?;
            }
        }
        Ok(())
    }
}

impl LargeDraft {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.content(piece),
            None => Err(io::Error::other("the file is finished")),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
        if let Some(large) = &self.large
            && !large.kept
        {
            // What cannot be removed is removed on the next start: no record names it.
            let _ = self.budget.disk.unlink(&large.path);
        }
    }
}

/// Writes to a file from its start on.
pub(crate) struct Appender {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) at: u64,
}

impl io::Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    fn budget(dir: &Path, body_memory_max: u64) -> Arc<Budget> {
        std::fs::create_dir_all(dir.join(LARGE)).unwrap();
        Arc::new(Budget {
            disk: Arc::new(RealDisk::new(dir).unwrap()),
            large_message_bytes: 100_000,
            body_memory_max,
            journal_bytes_max: 1 << 20,
            segment_bytes: 1 << 16,
            used: AtomicU64::new(0),
        })
    }

    #[test]
    fn beyond_the_budget_a_body_goes_to_a_file_and_its_memory_is_given_back() {
        let dir = crate::testing::dir("draft-budget");
        let budget = budget(&dir, 1000);
        let id = QueueId::parse("AB12").unwrap();
        let mut draft = Draft::new(id, budget.clone());
        draft.append(Bytes::from(vec![b'x'; 900])).unwrap();
        assert_eq!((budget.used.load(Ordering::Relaxed), draft.large.is_some()), (900, false));
        draft.append(Bytes::from(vec![b'x'; 200])).unwrap();
        assert_eq!((budget.used.load(Ordering::Relaxed), draft.large.is_some()), (0, true));
        assert!(dir.join("journal/large/AB12").exists());
        drop(draft);
        assert!(!dir.join("journal/large/AB12").exists(), "a forgotten draft leaves nothing");
    }

    #[test]
    fn small_pieces_are_gathered_and_large_ones_kept() {
        let dir = crate::testing::dir("draft-pieces");
        let mut draft = Draft::new(QueueId::parse("AB13").unwrap(), budget(&dir, 1 << 20));
        for piece in [&b"Subject: x\r\n"[..], b"\r\n", &[b'y'; 2000], b"tail"] {
            draft.append(Bytes::copy_from_slice(piece)).unwrap();
        }
        draft.close_gathered();
        let lengths: Vec<_> = draft.pieces.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [14, 2000, 4]);
    }
}
