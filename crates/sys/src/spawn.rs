//! Starting a program that inherits named descriptors, and taking them over there.

use crate::identity::check;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

/// Starts `command` so that it inherits `fds` under the numbers that they have here; all others close on exec.
/// The child is killed when the thread that called this ends, where `die_with_parent` says so.
pub fn spawn_with_fds(
    command: &mut Command,
    fds: &[BorrowedFd<'_>],
    die_with_parent: bool,
) -> io::Result<Child> {
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = std::process::id();
    let prepare = move || {
        for fd in &numbers {
            // SAFETY: F_SETFD takes integers only; the number is open, since fork copied the descriptors that the
            // caller borrows during spawn.
            check(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) })?;
        }
        if die_with_parent {
            // SAFETY: this prctl takes integers only.
            check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) })?;
            // The parent may have gone before the call. SAFETY: getppid takes nothing and cannot fail.
            if unsafe { libc::getppid() } as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes system calls that are async-signal-safe (fcntl, prctl,
    // getppid) and reads a vector made before; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// The inherited descriptors that were taken.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes over a descriptor that the parent left open under this number; a second time, or for a number that is not
/// open or is a standard stream, it is an error. Call it first thing in main, before anything opens descriptors.
pub fn take_inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if number <= 2 || !taken.insert(number) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {number} cannot be taken"),
        ));
    }
    // SAFETY: F_SETFD takes integers only and fails where the number is not open. It also hides the descriptor
    // from programs that we start.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the number is open (checked above) and, by the contract of this function, was inherited: no value of
    // this process owns it. TAKEN makes sure that it gets one owner only.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_child_inherits_what_is_named_and_nothing_else() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (_kept, hidden) = UnixStream::pair().unwrap();
        let script = format!(
            "echo hello >&{}; [ -e /proc/self/fd/{} ] && exit 7; exit 0",
            theirs.as_raw_fd(),
            hidden.as_raw_fd()
        );
        let mut child =
            spawn_with_fds(Command::new("sh").args(["-c", &script]), &[theirs.as_fd()], true).unwrap();
        drop(theirs);
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_descriptor_is_taken_once_and_only_if_open() {
        if let Some(number) = std::env::var("SYS_TEST_FD").ok().and_then(|n| n.parse().ok()) {
            let mut stream = UnixStream::from(take_inherited_fd(number).unwrap());
            assert!(take_inherited_fd(number).is_err());
            stream.write_all(b"taken").unwrap();
            return;
        }
        assert!(take_inherited_fd(1).is_err());
        assert!(take_inherited_fd(999_999).is_err());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "spawn::tests::a_descriptor_is_taken_once_and_only_if_open"])
            .env("SYS_TEST_FD", theirs.as_raw_fd().to_string());
        let mut child = spawn_with_fds(&mut command, &[theirs.as_fd()], true).unwrap();
        drop(theirs);
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "taken");
        assert!(child.wait().unwrap().success());
    }
}
