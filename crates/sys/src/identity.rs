//! Becoming another user for good.

use crate::users::User;
use std::ffi::CString;
use std::io;

/// Gives up root: the process, with all its threads, becomes `user` with that user's groups and `gid`.
///
/// Fails, rather than go on with root's rights, where any part fails or root could be had back.
pub fn become_user(user: &User, gid: u32) -> io::Result<()> {
    let name = CString::new(user.name.as_str()).map_err(io::Error::other)?;
    // SAFETY: `name` is NUL-terminated; initgroups only reads it.
    check(unsafe { libc::initgroups(name.as_ptr(), gid) })?;
    // SAFETY: takes an integer only; glibc changes all threads together.
    check(unsafe { libc::setgid(gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::setuid(user.uid) })?;
    // SAFETY: takes an integer only. It must fail now, unless the user is root itself.
    if user.uid != 0 && unsafe { libc::setuid(0) } == 0 {
        return Err(io::Error::other("root's rights could be taken back after giving them up"));
    }
    Ok(())
}

/// -1 means that errno says why.
pub(crate) fn check(answer: libc::c_int) -> io::Result<()> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::user_by_name;

    /// Set in the child that gives up its rights; the test process must keep them.
    const IN_CHILD: &str = "SYS_TEST_BECOME_USER";

    #[test]
    fn root_becomes_nobody_and_cannot_return() {
        if std::env::var_os(IN_CHILD).is_some() {
            let nobody = user_by_name("nobody").unwrap().unwrap();
            become_user(&nobody, nobody.gid).unwrap();
            assert_eq!(rustix::process::getuid().as_raw(), nobody.uid);
            assert_eq!(rustix::process::getgid().as_raw(), nobody.gid);
            assert!(std::fs::read("/etc/shadow").is_err());
            return;
        }
        if !rustix::process::getuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "identity::tests::root_becomes_nobody_and_cannot_return"])
            .env(IN_CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn who_is_not_root_gets_an_error() {
        if rustix::process::getuid().is_root() {
            return;
        }
        let root = user_by_name("root").unwrap().unwrap();
        assert!(become_user(&root, 0).is_err());
    }
}
