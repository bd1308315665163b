//! The file system of the host below one directory.

use super::{Disk, DiskFile, Entry, Lock, Space, Stat};
use mail::Timestamp;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file system below a queue directory. It keeps the directory open, so that a chroot or a rename of it does no harm.
pub struct RealDisk {
    root: OwnedFd,
    path: PathBuf,
}

impl RealDisk {
    /// Opens the queue directory.
    pub fn new(queue_directory: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = fs::open(queue_directory, flags, Mode::empty())?;
        Ok(RealDisk { root, path: queue_directory.to_path_buf() })
    }

    /// The queue directory as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_with(&self, path: &Path, flags: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.root, path, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Arc::new(RealFile(File::from(fd))))
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OFlags::RDWR)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // A pipe that somebody put there is not waited for.
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(fs::renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE)?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Ok(fs::unlinkat(&self.root, path, AtFlags::empty())?)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        match fs::mkdirat(&self.root, path, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let fd =
            fs::openat(&self.root, dir, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&fd)? {
            let entry = entry?;
            // A name that is no UTF-8 is none of ours or Postfix's; nothing of theirs is lost by not seeing it.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let is_dir = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => {
                    let stat = fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                _ => false,
            };
            entries.push(Entry { name: name.to_owned(), is_dir });
        }
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A process whose reach ends at journal/ has the directory above it open, but cannot open it again.
        if dir == Path::new(".") {
            return Ok(fs::fsync(&self.root)?);
        }
        let fd =
            fs::openat(&self.root, dir, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(fs::fsync(fd)?)
    }

    fn sync_everything(&self) -> io::Result<()> {
        Ok(fs::syncfs(&self.root)?)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(convert(&fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn set_modified(&self, path: &Path, at: Timestamp) -> io::Result<()> {
        Ok(fs::utimensat(&self.root, path, &times(at), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn space(&self) -> io::Result<Space> {
        let found = fs::fstatvfs(&self.root)?;
        Ok(Space { free_bytes: found.f_bavail.saturating_mul(found.f_frsize), block_bytes: found.f_frsize })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.root, path, flags, Mode::RUSR | Mode::WUSR)?;
        loop {
            match fs::flock(&fd, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => continue,
                other => {
                    other?;
                    return Ok(Box::new(Held(fd)));
                }
            }
        }
    }

    fn random(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut bytes = [0; 8];
        let read = File::open("/dev/urandom").and_then(|f| f.read_exact_at(&mut bytes, 0));
        if read.is_err() {
            // Without /dev (a chroot): the standard library's hash keys come from the kernel by getrandom(2).
            return std::hash::RandomState::new().build_hasher().finish();
        }
        u64::from_ne_bytes(bytes)
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        retry(|| FileExt::read_at(&self.0, buf, offset))
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        retry(|| Ok(rustix::io::pwritev(&self.0, slices, offset)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fs::fallocate(&self.0, fs::FallocateFlags::empty(), 0, len) {
            // A file system without fallocate: room is then found, or not, when the segment is filled.
            Err(Errno::OPNOTSUPP) => self.0.set_len(len),
            other => Ok(other?),
        }
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(convert(&fs::fstat(&self.0)?))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fs::fchmod(&self.0, Mode::from_raw_mode(mode))?)
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        Ok(fs::futimens(&self.0, &times(at))?)
    }

    fn try_lock(&self) -> io::Result<Option<Box<dyn Lock>>> {
        match fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(Held(self.0.as_fd().try_clone_to_owned()?)))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// An flock(2); it belongs to the open file, so it ends with the last descriptor of it or by unlocking.
struct Held(OwnedFd);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and closing the descriptor gives the lock up as well.
        let _ = fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

fn convert(stat: &fs::Stat) -> Stat {
    #[allow(clippy::unnecessary_cast, reason = "the width of these fields differs between architectures")]
    let micros =
        (stat.st_mtime as i64).saturating_mul(1_000_000).saturating_add(stat.st_mtime_nsec as i64 / 1000);
    Stat {
        inode: stat.st_ino,
        len: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        modified: Timestamp::from_micros(micros),
    }
}

fn times(at: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: at.secs(), tv_nsec: i64::from(at.subsec_micros()) * 1000 };
    Timestamps { last_access: time, last_modification: time }
}
