//! The locks of an instance: Postfix's own, so that neither program starts while the other runs on the spool.
//!
//! `pid/master.pid` below queue_directory and `master.lock` in data_directory, both held with flock(2) for the life
//! of the instance; the process id stands in them as Postfix writes it.

use rustix::fs::{FlockOperation, Mode, OFlags, fchown, flock, openat};
use rustix::process::{Gid, Uid};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Where the locks are.
#[derive(Clone, Debug)]
pub struct LockPaths {
    /// `queue_directory/pid/master.pid`.
    pub pid_file: PathBuf,
    /// `data_directory/master.lock`.
    pub data_lock: PathBuf,
}

impl LockPaths {
    /// The locks of the instance with these directories.
    pub fn new(queue_directory: &Path, data_directory: &Path) -> Self {
        LockPaths {
            pid_file: queue_directory.join("pid/master.pid"),
            data_lock: data_directory.join("master.lock"),
        }
    }

    /// The process id in the pid file, if some process holds its lock.
    pub fn running(&self) -> io::Result<Option<i32>> {
        let mut file = match File::open(&self.pid_file) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(named(&self.pid_file, &e)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            // Closing the file gives the lock back.
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(read_pid(&mut file).unwrap_or(0))),
            Err(e) => Err(named(&self.pid_file, &e.into())),
        }
    }

    /// Takes both locks and writes our process id into them. `owner` is who is to own the one in data_directory.
    pub fn take(&self, owner: Option<(u32, u32)>) -> Result<Locks, LockError> {
        let pid_file = take(&self.pid_file, None)?;
        let data_lock = take(&self.data_lock, owner)?;
        Ok(Locks { pid_file, data_lock })
    }
}

/// The locks, held while this lives or a role has inherited them.
#[derive(Debug)]
pub struct Locks {
    pid_file: File,
    data_lock: File,
}

impl Locks {
    /// The files, for roles to inherit: while one of them drains, no other instance may start.
    pub fn files(&self) -> [&File; 2] {
        [&self.pid_file, &self.data_lock]
    }
}

/// Why an instance may not start.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock; the process id that stands in the file.
    Held(PathBuf, Option<i32>),
    /// The file cannot be opened, locked or written.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held(path, Some(pid)) => {
                write!(
                    f,
                    "{} is locked by process {pid}: Postfix or Posthaste already runs here; \
                     each instance needs a queue_directory and a data_directory of its own",
                    path.display()
                )
            }
            LockError::Held(path, None) => {
                write!(f, "{} is locked: Postfix or Posthaste already runs here", path.display())
            }
            LockError::Io(e) => e.fmt(f),
        }
    }
}

fn take(path: &Path, owner: Option<(u32, u32)>) -> Result<File, LockError> {
    let io = |e: io::Error| LockError::Io(named(path, &e));
    // NOFOLLOW: data_directory belongs to mail_owner, who must not lead root to another file.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = openat(rustix::fs::CWD, path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| io(e.into()))?;
    let mut file = File::from(fd);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held(path.into(), read_pid(&mut file))),
        Err(e) => return Err(io(e.into())),
    }
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(|e| io(e.into()))?;
    }
    // Postfix's own form: the number right-aligned in 32 columns.
    let text = format!("{:32}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(io)?;
    Ok(file)
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    // A pid file is 33 bytes; whatever else stands there is not read.
    file.rewind().ok()?;
    file.take(64).read_to_string(&mut text).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_finds_the_lock_held_until_the_first_ends() {
        let dir = std::env::temp_dir().join(format!("master-lock-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("pid")).unwrap();
        let paths = LockPaths::new(&dir, &dir);
        assert_eq!(paths.running().unwrap(), None);

        let locks = paths.take(None).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(paths.running().unwrap(), Some(pid));
        assert!(matches!(paths.take(None), Err(LockError::Held(_, Some(p))) if p == pid));
        let text = std::fs::read_to_string(&paths.pid_file).unwrap();
        assert_eq!((text.len(), text.trim()), (33, pid.to_string().as_str()));

        drop(locks);
        assert_eq!(paths.running().unwrap(), None);
        paths.take(None).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_symbolic_link_is_no_lock_file() {
        let dir = std::env::temp_dir().join(format!("master-link-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("pid")).unwrap();
        std::os::unix::fs::symlink(dir.join("elsewhere"), dir.join("master.lock")).unwrap();
        assert!(matches!(LockPaths::new(&dir, &dir).take(None), Err(LockError::Io(_))));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
