//! Delivery into an mbox file, locked against other programs and cut back where it fails.

use super::failure::{CONFIGURATION_ERROR, Failure, Note};
use super::text::Text;
use mail::{Address, Dsn, Timestamp};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock, flock};
use rustix::io::Errno;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How mailboxes are locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locking {
    /// A file `PATH.lock`.
    pub dotlock: bool,
    /// fcntl(2).
    pub fcntl: bool,
    /// flock(2).
    pub flock: bool,
    /// `deliver_lock_attempts`.
    pub attempts: u32,
    /// `deliver_lock_delay`.
    pub delay: Duration,
    /// `stale_lock_time`.
    pub stale: Duration,
}

/// Why a mailbox was not written.
#[derive(Debug)]
pub enum NotDelivered {
    /// Another program has it; to be tried again after `deliver_lock_delay`, or given up with this failure.
    Locked(Failure),
    /// It failed.
    Failed(Failure),
}

/// Who a mailbox must belong to.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// `None` where it may belong to anybody (`strict_mailbox_ownership = no`).
    pub uid: Option<u32>,
}

/// Appends an entry to the mailbox at `path`. The caller sees to it that no other thread of ours has it open:
/// fcntl locks are the process's.
pub fn deliver(
    path: &Path,
    owner: Owner,
    prefix: &[u8],
    text: &Text,
    size_max: u64,
    locking: &Locking,
) -> Result<(), NotDelivered> {
    let within = |failure: Failure| failure.within(format!("delivery failed to mailbox {}", path.display()));
    append(path, owner, prefix, text, size_max, locking).map_err(|e| match e {
        NotDelivered::Locked(failure) => NotDelivered::Locked(within(failure)),
        NotDelivered::Failed(failure) => NotDelivered::Failed(within(failure)),
    })
}

fn append(
    path: &Path,
    owner: Owner,
    prefix: &[u8],
    text: &Text,
    size_max: u64,
    locking: &Locking,
) -> Result<(), NotDelivered> {
    let _dotlock = if locking.dotlock { Some(DotLock::take(path, locking.stale)?) } else { None };
    let failed = |failure: Failure| NotDelivered::Failed(failure);
    let mut file = open(path).map_err(failed)?;
    let stat = file.metadata().map_err(|e| failed(Failure::io(CANNOT_OPEN, &e)))?;
    judge(path, owner, &stat).map_err(failed)?;
    lock(&file, locking)?;
    // Another program may have written while we waited for the lock.
    let size = file.metadata().map_err(|e| failed(Failure::io(CANNOT_OPEN, &e)))?.len();
    if size_max > 0 && size + prefix.len() as u64 + text.size_max() > size_max {
        return Err(failed(Failure::io("error writing message", &Errno::FBIG.into())));
    }
    let written = text.write_mbox(prefix, &mut file).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // Half an entry would be read as part of the next one.
        let _ = file.set_len(size);
        failed(Failure::io("error writing message", &e))
    })
}

/// In front of what the system says of a file.
const CANNOT_OPEN: &str = "cannot open file";

/// What an open file must be before anything is written to it.
fn judge(path: &Path, owner: Owner, stat: &Metadata) -> Result<(), Failure> {
    if !stat.is_file() {
        let what = format!("destination {} is not a regular file", path.display());
        let notes = vec![Note::Warning(what)];
        return Err(Failure { notes, ..Failure::new(Dsn::new(5, 3, 5), CONFIGURATION_ERROR) });
    }
    if stat.nlink() != 1 {
        return Err(Failure::new(Dsn::new(4, 2, 0), format!("file has {} hard links", stat.nlink())));
    }
    if owner.uid.is_some_and(|uid| uid != stat.uid()) {
        let what = format!("destination {} is not owned by recipient", path.display());
        let advice = "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch";
        let notes = vec![Note::Warning(advice.into())];
        return Err(Failure { notes, ..Failure::new(Dsn::new(4, 2, 0), what) });
    }
    Ok(())
}

/// Opens for appending, and never makes a file where a symbolic link points.
fn open(path: &Path) -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::io(CANNOT_OPEN, &e);
    let flags = |more: OFlags| (more | OFlags::NONBLOCK).bits() as i32;
    let nofollow = flags(OFlags::NOFOLLOW);
    match OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(nofollow).open(path) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::LOOP) => {
            if !is_made_by_root(path).map_err(failed)? {
                return Err(Failure::new(Dsn::new(4, 2, 0), "file is a symbolic link"));
            }
            let followed = OpenOptions::new().append(true).custom_flags(flags(OFlags::empty())).open(path);
            followed.map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Whether nobody but root can have made what lies at `path`: it is root's, and so is its directory.
fn is_made_by_root(path: &Path) -> io::Result<bool> {
    let link = std::fs::symlink_metadata(path)?;
    let directory = std::fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    Ok(link.uid() == 0 && directory.uid() == 0 && directory.mode() & 0o022 == 0)
}

fn lock(file: &File, locking: &Locking) -> Result<(), NotDelivered> {
    let taken = |error: Errno| {
        let failure = Failure::io("unable to lock for exclusive access", &error.into());
        match error {
            Errno::AGAIN | Errno::ACCESS => NotDelivered::Locked(failure),
            _ => NotDelivered::Failed(failure),
        }
    };
    if locking.fcntl {
        fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).map_err(taken)?;
    }
    if locking.flock {
        flock(file, FlockOperation::NonBlockingLockExclusive).map_err(taken)?;
    }
    Ok(())
}

/// The file `PATH.lock`, taken away on drop.
struct DotLock(PathBuf);

impl DotLock {
    fn take(mailbox: &Path, stale: Duration) -> Result<DotLock, NotDelivered> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let failure =
            |error: &io::Error| Failure::io(format!("unable to create lock file {}", path.display()), error);
        let made = match create() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_older(&path, stale) => {
                let _ = std::fs::remove_file(&path);
                create()
            }
            other => other,
        };
        match made {
            Ok(_) => Ok(DotLock(path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(NotDelivered::Locked(failure(&e))),
            Err(e) => Err(NotDelivered::Failed(failure(&e))),
        }
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let changed = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed > age))
}

/// The line that begins an entry: `From sender  Sun Nov 22 16:30:15 2026`.
pub fn from_line(sender: &Address, now: Timestamp) -> Vec<u8> {
    let mut line = b"From ".to_vec();
    match sender.is_null() {
        true => line.extend_from_slice(b"MAILER-DAEMON"),
        false => line.extend(sender.to_external().iter().map(|&b| if b < b' ' { b'?' } else { b })),
    }
    if let Ok(t) = sys::local_time(now.secs()) {
        line.extend_from_slice(b"  ");
        line.extend_from_slice(t.asctime().as_bytes());
    }
    line.push(b'\n');
    line
}
