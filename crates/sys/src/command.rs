//! Starting a command with another user's rights, in a place of its own.

use crate::identity::check;
use rustix::process::{Resource, Rlimit};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// With whose rights and where a command runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunAs<'a> {
    /// User and group; no other group. `None` leaves the caller's.
    pub identity: Option<(u32, u32)>,
    /// Becomes the root of the file system.
    pub chroot: Option<&'a Path>,
    /// Becomes the working directory; the new user must be able to enter it.
    pub directory: Option<&'a Path>,
    /// Files that it writes may become so long.
    pub file_size_max: Option<u64>,
}

/// Why a command did not start.
#[derive(Debug)]
pub enum SpawnError {
    /// The rights could not be taken: the command was not tried.
    Identity(io::Error),
    /// No such root.
    Chroot(io::Error),
    /// The directory cannot be entered with the new rights.
    Directory(io::Error),
    /// The program cannot be executed, or there is no room for another process.
    Program(io::Error),
}

/// What went wrong between fork and exec goes through the one number that std passes on.
const IDENTITY: i32 = 1 << 16;
const CHROOT: i32 = 2 << 16;
const DIRECTORY: i32 = 3 << 16;
const ERRNO_MASK: i32 = (1 << 16) - 1;

/// Starts `command` in a session and process group of its own (the group's number is the child's), with rights that it
/// cannot give back. It gets none of our descriptors but its standard streams.
pub fn spawn_as(command: &mut Command, how: &RunAs<'_>) -> Result<Child, SpawnError> {
    let path = |path: Option<&Path>| path.map(|p| CString::new(p.as_os_str().as_bytes())).transpose();
    let root = path(how.chroot).map_err(|e| SpawnError::Chroot(e.into()))?;
    let directory = path(how.directory).map_err(|e| SpawnError::Directory(e.into()))?;
    let (identity, size_max) = (how.identity, how.file_size_max);
    let prepare = move || {
        rustix::process::setsid()?;
        hide_descriptors();
        ignore_signals();
        if let Some(max) = size_max {
            rustix::process::setrlimit(Resource::Fsize, Rlimit { current: Some(max), maximum: Some(max) })?;
        }
        if let Some(root) = &root {
            let changed = rustix::process::chroot(root).and_then(|()| rustix::process::chdir(c"/"));
            changed.map_err(|e| marked(CHROOT, &e.into()))?;
        }
        if let Some((uid, gid)) = identity {
            take(uid, gid).map_err(|e| marked(IDENTITY, &e))?;
        }
        if let Some(directory) = &directory {
            rustix::process::chdir(directory).map_err(|e| marked(DIRECTORY, &e.into()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only (setsid, close_range, signal, setrlimit, chroot, chdir, and those of
    // `take`), which rustix and libc::syscall do directly; it reads values made before, allocates nothing, takes no lock.
    unsafe { command.pre_exec(prepare) };
    command.spawn().map_err(|e| {
        let code = e.raw_os_error().unwrap_or(0);
        let cause = io::Error::from_raw_os_error(code & ERRNO_MASK);
        match code & !ERRNO_MASK {
            IDENTITY => SpawnError::Identity(cause),
            CHROOT => SpawnError::Chroot(cause),
            DIRECTORY => SpawnError::Directory(cause),
            _ => SpawnError::Program(e),
        }
    })
}

/// Closes all but the standard streams on exec: whoever started us may have left descriptors open.
fn hide_descriptors() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: takes integers only. A kernel before 5.11 does not know the call; ours are closed on exec in any case.
    unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Commands start as those of Postfix do: a pipe that nobody reads and a file that is full are errors of a write, which
/// is told of, and kill nobody.
fn ignore_signals() {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: SIG_IGN is no handler of ours, so nothing of this process's memory is referred to.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn marked(step: i32, error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(step | error.raw_os_error().unwrap_or(libc::EINVAL))
}

/// Real, effective and saved ids together, so that nothing of root is left.
fn take(uid: u32, gid: u32) -> io::Result<()> {
    let groups = [gid];
    // SAFETY: the kernel reads one gid_t from `groups`.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 1usize, groups.as_ptr()) } as libc::c_int)?;
    // SAFETY: takes integers only and changes this process's credentials.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) } as libc::c_int)?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) } as libc::c_int)?;
    // SAFETY: as above. It must fail now, unless the user is root itself.
    if uid != 0 && unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) } == 0 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn said(script: &str, how: &RunAs<'_>) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let output = spawn_as(&mut command, how).unwrap().wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_command_leads_a_session_of_its_own_in_the_directory_given() {
        let how = RunAs { directory: Some(Path::new("/usr")), ..RunAs::default() };
        let text = said("pwd; cut -d ' ' -f 1,5,6 /proc/$$/stat", &how);
        let (directory, rest) = text.split_once('\n').unwrap();
        let ids: Vec<&str> = rest.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(directory, "/usr");
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let limited = RunAs { file_size_max: Some(51_200), ..RunAs::default() };
        assert_eq!(said("ulimit -f", &limited), "100\n");
    }

    #[test]
    fn a_command_inherits_its_standard_streams_alone() {
        let (_near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        // A copy that, unlike all that std opens, stays open on exec.
        let left_open = rustix::io::dup(&far).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&left_open);
        let text = said(&format!("[ -e /proc/self/fd/{number} ] || echo closed"), &RunAs::default());
        assert_eq!(text, "closed\n");
    }

    #[test]
    fn a_broken_pipe_and_a_full_file_kill_no_command() {
        let text = said("grep SigIgn /proc/self/status", &RunAs::default());
        let mask = text.split_whitespace().nth(1).map(|hex| u64::from_str_radix(hex, 16).unwrap()).unwrap();
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            assert!(mask & (1 << (signal - 1)) != 0, "{text}");
        }
    }

    #[test]
    fn what_went_wrong_is_told_apart() {
        let nowhere = Path::new("/nonexistent");
        let mut command = Command::new("/bin/true");
        let how = RunAs { directory: Some(nowhere), ..RunAs::default() };
        assert!(
            matches!(spawn_as(&mut command, &how), Err(SpawnError::Directory(e)) if e.kind() == io::ErrorKind::NotFound)
        );
        let error = spawn_as(&mut Command::new("/nonexistent"), &RunAs::default()).unwrap_err();
        assert!(matches!(error, SpawnError::Program(e) if e.kind() == io::ErrorKind::NotFound));
        if rustix::process::getuid().is_root() {
            let how = RunAs { chroot: Some(nowhere), ..RunAs::default() };
            assert!(matches!(spawn_as(&mut Command::new("/bin/true"), &how), Err(SpawnError::Chroot(_))));
        } else {
            let how = RunAs { identity: Some((0, 0)), ..RunAs::default() };
            assert!(matches!(spawn_as(&mut Command::new("/bin/true"), &how), Err(SpawnError::Identity(_))));
        }
    }

    #[test]
    fn a_command_of_another_user_has_that_users_rights_alone() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let how = RunAs { identity: Some((65_534, 65_533)), ..RunAs::default() };
        let text =
            said("id -u; id -G; id -ru; cat /etc/shadow >&2 && echo read; cd /root && echo entered", &how);
        assert_eq!(text, "65534\n65533\n65534\n");
        let how = RunAs {
            identity: Some((65_534, 65_534)),
            directory: Some(Path::new("/root")),
            ..RunAs::default()
        };
        let error = spawn_as(&mut Command::new("/bin/true"), &how).unwrap_err();
        assert!(matches!(error, SpawnError::Directory(e) if e.kind() == io::ErrorKind::PermissionDenied));
    }
}
