//! What the queue asks of a file system, so that a simulator can stand in for it.
//!
//! All paths are relative to the queue directory. A call that returns has taken effect for every later call, but
//! nothing is durable until it was synced: data by [`DiskFile::sync_data`], names by [`Disk::sync_dir`].

mod real;

pub use real::RealDisk;

use mail::Timestamp;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it names a directory.
    pub is_dir: bool,
}

/// What the file system knows about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Identifies the file as long as it exists.
    pub inode: u64,
    /// Bytes.
    pub len: u64,
    /// Permission bits (07777).
    pub mode: u32,
    /// Last modification; in `deferred/` the time of the next attempt.
    pub modified: Timestamp,
}

/// Room on the file system of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an unprivileged process can still use.
    pub free_bytes: u64,
    /// The file system's block size, in which Postfix counts `queue_minfree` against free blocks.
    pub block_bytes: u64,
}

/// A lock; given up on drop, and by the kernel when the process ends.
pub trait Lock: Send + Sync {}

/// A file that is open.
///
/// Contract: offsets are explicit and the calls take `&self`, so that one thread may sync what another has written.
pub trait DiskFile: Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes the slices one behind the other with one call; may write less than all.
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Makes the data durable, and as much metadata as is needed to read it.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes data and metadata (mode, times) durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves room, so that writing below `len` cannot fail for want of it; the file gets `len` bytes long.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// What the file system knows about it.
    fn stat(&self) -> io::Result<Stat>;
    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    /// Sets the time of the last modification.
    fn set_modified(&self, at: Timestamp) -> io::Result<()>;
    /// Locks the file exclusively for as long as the returned value lives; `None` where another holds it.
    fn try_lock(&self) -> io::Result<Option<Box<dyn Lock>>>;

    /// Reads exactly `buf.len()` bytes.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Reads `length` bytes, or as many as the file has.
    fn read_up_to(&self, length: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes all of `bytes`.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(&[IoSlice::new(bytes)], offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    bytes = &bytes[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// A file system, seen from the queue directory.
///
/// Contract: errors are the operating system's (`ENOSPC`, `EEXIST`, …). Nothing follows symbolic links.
pub trait Disk: Send + Sync {
    /// Creates a file with mode 0600; fails where the name exists.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames; fails with `EEXIST` where `to` exists.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory (mode 0700) where it does not exist yet.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, without `.` and `..`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything durable that any process has written to this file system; may take long.
    fn sync_everything(&self) -> io::Result<()>;
    /// What the file system knows about a name.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Sets the time of the last modification.
    fn set_modified(&self, path: &Path, at: Timestamp) -> io::Result<()>;
    /// How much room there is.
    fn space(&self) -> io::Result<Space>;
    /// Waits for the exclusive lock on a file of this name, which is made where it does not exist.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// Random bits for secrets.
    fn random(&self) -> u64;
}
