//! Delivery into an mbox file, locked against other programs and cut back where it fails.

use super::dotlock::{DotLock, is_entry_at};
use super::failure::{CONFIGURATION_ERROR, Failure, Note};
use super::rights::Rights;
use super::settings::Mailbox;
use super::text::Text;
use super::writing::Writing;
use mail::{Address, Dsn, Timestamp};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

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

impl Locking {
    /// What a list such as `virtual_mailbox_lock` says, tried as the other three parameters say.
    pub fn of(words: &[String], attempts: u64, delay: Duration, stale: Duration) -> Locking {
        let has = |kind: &str| words.iter().any(|word| word.eq_ignore_ascii_case(kind));
        Locking {
            dotlock: has("dotlock"),
            fcntl: has("fcntl"),
            flock: has("flock"),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            delay,
            stale,
        }
    }
}

/// Why a mailbox was not written.
#[derive(Debug)]
pub enum NotDelivered {
    /// Another program has it; to be tried again after `deliver_lock_delay`, or given up with this failure.
    Locked(Failure),
    /// It failed.
    Failed(Failure),
}

/// A mailbox file and how it is written.
pub struct Place<'a> {
    /// Where it lies, whose it is, what reasons say.
    pub mailbox: &'a Mailbox,
    /// What holds for all mailboxes.
    pub writing: &'a Writing,
}

/// Appends an entry to a mailbox. The caller sees to it that no other thread of ours has it open: fcntl locks are the
/// process's.
pub fn deliver(
    place: &Place<'_>,
    rights: &mut Rights,
    prefix: &[u8],
    text: &Text,
) -> Result<(), NotDelivered> {
    let mut notes = Vec::new();
    append(place, rights, prefix, text, &mut notes).map_err(|e| {
        let within = |mut failure: Failure| {
            failure.notes.splice(0..0, notes);
            failure.within(&place.mailbox.failing)
        };
        match e {
            NotDelivered::Locked(failure) => NotDelivered::Locked(within(failure)),
            NotDelivered::Failed(failure) => NotDelivered::Failed(within(failure)),
        }
    })
}

fn append(
    place: &Place<'_>,
    rights: &mut Rights,
    prefix: &[u8],
    text: &Text,
    notes: &mut Vec<Note>,
) -> Result<(), NotDelivered> {
    let (mailbox, otherwise) = (place.mailbox, place.mailbox.otherwise);
    let io = |what: &'static str| move |e: io::Error| NotDelivered::Failed(Failure::io(otherwise, what, &e));
    // In a directory of root's, root makes lock and file; it never opens what is there already.
    let by_root = mailbox.made_by_root && !place.writing.as_caller;
    let (uid, gid) = if by_root { (0, 0) } else { (mailbox.uid, mailbox.gid) };
    rights.take(uid, gid).map_err(io(OTHER_RIGHTS))?;
    let owner = if place.writing.as_caller { rustix::process::geteuid().as_raw() } else { uid };
    let lock = lock_file(place, owner, notes)?;
    if by_root {
        make_for(mailbox).map_err(io("cannot create file exclusively"))?;
        rights.take(mailbox.uid, mailbox.gid).map_err(io(OTHER_RIGHTS))?;
    }
    let appended = append_locked(place, lock.as_ref(), prefix, text);
    // The lock file goes with the rights with which it came; without them it becomes stale.
    let _ = rights.take(uid, gid);
    drop(lock);
    appended
}

/// What failed where a worker could not take somebody's rights.
const OTHER_RIGHTS: &str = "cannot act as the recipient";

/// Writes with the rights of the owner, which the caller has taken.
fn append_locked(
    place: &Place<'_>,
    dotlock: Option<&DotLock>,
    prefix: &[u8],
    text: &Text,
) -> Result<(), NotDelivered> {
    let (mailbox, writing) = (place.mailbox, place.writing);
    let (path, otherwise) = (&mailbox.path, mailbox.otherwise);
    let io = |what: &str, e: &io::Error| NotDelivered::Failed(Failure::io(otherwise, what, e));
    let mut file = open(path).map_err(|e| match e {
        Unopened::Link => wrong(otherwise, "file is a symbolic link"),
        Unopened::NotMade(e) => io("cannot create file exclusively", &e),
        Unopened::Io(e) => io("cannot open file", &e),
    })?;
    let stat = file.metadata().map_err(|e| io("cannot open file", &e))?;
    if !stat.is_file() {
        if mailbox.may_be_a_device {
            return text.write_mbox(prefix, &mut file).map_err(|e| io("error writing message", &e));
        }
        let text = format!("destination {} is not a regular file", path.display());
        if mailbox.is_configured {
            let notes = vec![Note::Warning(text)];
            let failure = Failure { notes, ..Failure::new(Dsn::new(5, 3, 5), CONFIGURATION_ERROR) };
            return Err(NotDelivered::Failed(failure));
        }
        return Err(wrong(Dsn::new(5, 2, 0), text));
    }
    if stat.nlink() != 1 {
        return Err(wrong(otherwise, format!("file has {} hard links", stat.nlink())));
    }
    if writing.strict_ownership && !writing.as_caller && !mailbox.may_be_anybodys && stat.uid() != mailbox.uid
    {
        let text = format!("destination {} is not owned by recipient", path.display());
        let mut failure = Failure::new(Dsn::new(4, 2, 0), text);
        let advice = "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch";
        failure.notes.push(Note::Warning(advice.into()));
        return Err(NotDelivered::Failed(failure));
    }
    lock(&file, &writing.locking, otherwise)?;
    // Another program may have written while we waited for the lock.
    let mut size = file.metadata().map_err(|e| io("cannot open file", &e))?.len();
    if let Some(end) = dotlock.and_then(|lock| lock.undo).filter(|end| *end < size)
        && is_entry_at(path, &stat, end)
    {
        file.set_len(end).map_err(|e| io("cannot cut off half an entry", &e))?;
        size = end;
    }
    let size_max = writing.size_max;
    if size_max > 0 && size + prefix.len() as u64 + text.size_max() > size_max {
        return Err(io("error writing message", &Errno::FBIG.into()));
    }
    if let Some(lock) = dotlock {
        lock.note_end(size);
    }
    let written = text.write_mbox(prefix, &mut file).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // Half an entry would be read as part of the next one.
        let _ = file.set_len(size);
        io("error writing message", &e)
    })
}

fn wrong(dsn: Dsn, text: impl Into<String>) -> NotDelivered {
    NotDelivered::Failed(Failure::new(dsn, text))
}

/// Takes the lock file, where there is to be one.
fn lock_file(place: &Place<'_>, owner: u32, notes: &mut Vec<Note>) -> Result<Option<DotLock>, NotDelivered> {
    let (mailbox, locking) = (place.mailbox, &place.writing.locking);
    if !locking.dotlock {
        return Ok(None);
    }
    let who = (owner, place.writing.hostname.as_str());
    match DotLock::take(&mailbox.path, who, locking.stale, mailbox.otherwise) {
        Ok(lock) => Ok(Some(lock)),
        // Not every directory with a file that may be written lets us make another one.
        Err(NotDelivered::Failed(failure)) if mailbox.lock_may_fail => {
            notes.push(Note::Warning(failure.reason));
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Makes the file with root's rights for its owner, unless something is there.
fn make_for(mailbox: &Mailbox) -> io::Result<()> {
    let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&mailbox.path);
    match made {
        Ok(file) => std::os::unix::fs::fchown(&file, Some(mailbox.uid), Some(mailbox.gid)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// Why a mailbox file was not opened.
enum Unopened {
    /// A symbolic link that root did not make.
    Link,
    /// There was none, and it could not be made.
    NotMade(io::Error),
    /// Something else.
    Io(io::Error),
}

/// Opens for appending; a symbolic link is followed only where root made it, and never to make a file.
fn open(path: &Path) -> Result<File, Unopened> {
    let flags = |more: OFlags| more.bits() as i32;
    let nofollow = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
    let existing = |flags: i32| OpenOptions::new().append(true).custom_flags(flags).open(path);
    match existing(nofollow) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::LOOP) => {
            if !is_made_by_root(path).map_err(Unopened::Io)? {
                return Err(Unopened::Link);
            }
            existing(flags(OFlags::NONBLOCK)).map_err(Unopened::Io)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(Unopened::NotMade),
        other => other.map_err(Unopened::Io),
    }
}

/// Whether nobody but root can have made what lies at `path`: it is root's, and so is its directory.
fn is_made_by_root(path: &Path) -> io::Result<bool> {
    let link = std::fs::symlink_metadata(path)?;
    let directory = std::fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    Ok(link.uid() == 0 && directory.uid() == 0 && directory.mode() & 0o022 == 0)
}

fn lock(file: &File, locking: &Locking, otherwise: Dsn) -> Result<(), NotDelivered> {
    let taken = |error: Errno| {
        let failure = Failure::io(otherwise, "unable to lock for exclusive access", &error.into());
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
