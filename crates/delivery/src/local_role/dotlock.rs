//! The lock file of a mailbox, which also tells what was there before: a kill in the middle of an entry leaves half of
//! it, and whoever finds our lock file then cuts the mailbox back.
//!
//! What it says is believed only of a file that nobody else could have made, and about a process of this host that is no
//! more. Programs that do not know its text see a lock file as any other.

use super::failure::Failure;
use super::mbox::NotDelivered;
use mail::Dsn;
use rustix::process::{Pid, test_kill_process};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The first word of our lock files.
const MARK: &str = "posthaste";

/// A lock file of ours is one short line.
const TEXT_MAX: u64 = 1024;

/// The file `PATH.lock`, taken away on drop.
pub(super) struct DotLock {
    path: PathBuf,
    file: File,
    who: String,
    /// Where the mailbox ended before a process that was killed began to write.
    pub(super) undo: Option<u64>,
}

impl DotLock {
    /// Takes the lock of a mailbox with the rights in force, which are `owner`'s. `host` is who we are.
    pub(super) fn take(
        mailbox: &Path,
        (owner, host): (u32, &str),
        stale: Duration,
        otherwise: Dsn,
    ) -> Result<DotLock, NotDelivered> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let failure = |error: &io::Error, otherwise: Dsn| {
            Failure::io(otherwise, format!("unable to create lock file {}", path.display()), error)
        };
        let is_there = |e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists;
        let made = match create() {
            Err(e) if is_there(&e) => match abandoned(&path, owner, host, stale) {
                // It stays where it is, so that nobody comes in between.
                Some((file, undo)) => Ok((file, undo)),
                None if is_older(&path, stale) => {
                    let _ = std::fs::remove_file(&path);
                    create().map(|file| (file, None))
                }
                None => Err(e),
            },
            other => other.map(|file| (file, None)),
        };
        match made {
            Ok((file, undo)) => {
                let who = format!("{MARK} {host} {}", std::process::id());
                let lock = DotLock { path, file, who, undo };
                lock.say(undo);
                Ok(lock)
            }
            Err(e) if is_there(&e) => Err(NotDelivered::Locked(failure(&e, Dsn::new(4, 2, 0)))),
            Err(e) => Err(NotDelivered::Failed(failure(&e, otherwise))),
        }
    }

    /// Notes where the mailbox ends before it is written to. A lock file that cannot be written locks all the same.
    pub(super) fn note_end(&self, end: u64) {
        self.say(Some(end));
    }

    fn say(&self, end: Option<u64>) {
        // The end has a fixed width: a text that is written over another of our own leaves nothing of it.
        let end = end.map_or_else(|| format!("{:>20}", "-"), |end| format!("{end:>20}"));
        let text = format!("{} {end}\n", self.who);
        let _ = self.file.write_all_at(text.as_bytes(), 0);
        let _ = self.file.set_len(text.len() as u64);
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A lock file of a process of ours that is no more, and what it noted.
fn abandoned(path: &Path, owner: u32, host: &str, stale: Duration) -> Option<(File, Option<u64>)> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = nofollow.bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
    let stat = file.metadata().ok()?;
    if !stat.is_file() || stat.nlink() != 1 || stat.uid() != owner || stat.mode() & 0o022 != 0 {
        return None;
    }
    let mut text = String::new();
    (&file).take(TEXT_MAX).read_to_string(&mut text).ok()?;
    let (pid, undo) = parse(&text, host)?;
    let own = pid == i32::try_from(std::process::id()).ok()?;
    let is_gone =
        Pid::from_raw(pid).is_some_and(|pid| matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)));
    (!own && (is_gone || is_older(path, stale))).then_some((file, undo))
}

/// Process and end of a text of ours.
fn parse(text: &str, host: &str) -> Option<(i32, Option<u64>)> {
    let mut words = text.strip_suffix('\n')?.split_whitespace();
    if words.next()? != MARK || words.next()? != host {
        return None;
    }
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let undo = words.next().and_then(|end| end.parse().ok());
    words.next().is_none().then_some((pid, undo))
}

fn is_older(path: &Path, age: Duration) -> bool {
    // Not the time of modification, which anybody may set to what he likes.
    let changed = std::fs::symlink_metadata(path).map(|m| m.ctime());
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|now| now.as_secs());
    let is_older = |at: i64, now: u64| now.saturating_sub(u64::try_from(at).unwrap_or(0)) > age.as_secs();
    changed.is_ok_and(|at| passed.is_ok_and(|now| is_older(at, now)))
}

/// Whether what stands at `end` of the mailbox that was opened as `opened` can be the beginning of an entry, so that
/// what follows may be cut off.
pub(super) fn is_entry_at(path: &Path, opened: &Metadata, end: u64) -> bool {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(nonblock).open(path) else { return false };
    let is_same = |m: Metadata| (m.dev(), m.ino()) == (opened.dev(), opened.ino());
    if !file.metadata().is_ok_and(is_same) {
        return false;
    }
    let mut found = [0; 6];
    match end {
        0 => file.read_exact_at(&mut found[1..], 0).is_ok() && &found[1..] == b"From ",
        _ => file.read_exact_at(&mut found, end - 1).is_ok() && &found == b"\nFrom ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_text_of_this_host_is_believed() {
        assert_eq!(parse("posthaste mx 12 345\n", "mx"), Some((12, Some(345))));
        assert_eq!(parse("posthaste mx 12                    -\n", "mx"), Some((12, None)));
        for text in [
            "",
            "12\n",
            "posthaste mx 12 345",
            "posthaste other 12 345\n",
            "posthaste mx 0 1\n",
            "posthaste mx 1 2 3\n",
        ] {
            assert_eq!(parse(text, "mx"), None, "{text}");
        }
    }

    #[test]
    fn a_lock_of_a_process_that_is_gone_is_taken_over_with_what_it_noted() {
        let path = std::env::temp_dir().join(format!("delivery-dotlock-{}", std::process::id()));
        let lock = PathBuf::from(format!("{}.lock", path.display()));
        let owner = rustix::process::geteuid().as_raw();
        let take = || DotLock::take(&path, (owner, "mx"), Duration::from_secs(500), Dsn::new(4, 2, 0));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();

        std::fs::write(&lock, format!("posthaste mx {} {:>20}\n", child.id(), 77)).unwrap();
        let taken = take().unwrap();
        assert_eq!(taken.undo, Some(77));
        assert!(std::fs::read_to_string(&lock).unwrap().contains(&format!(" {} ", std::process::id())));
        assert!(matches!(take(), Err(NotDelivered::Locked(_))), "it is ours now");
        drop(taken);
        assert!(!lock.exists());

        std::fs::write(&lock, "posthaste mx 1 77\n").unwrap();
        assert!(matches!(take(), Err(NotDelivered::Locked(_))), "process 1 lives");
        std::fs::remove_file(&lock).unwrap();
    }
}
