//! Becoming another user for good.

use crate::users::User;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// Gives up root: the process, with all its threads, becomes `user` with that user's groups and `gid`.
///
/// Fails, rather than go on with root's rights, where any part fails or root could be had back.
pub fn become_user(user: &User, gid: u32) -> io::Result<()> {
    take_groups(user, gid)?;
    give_up_root(user)
}

/// As [`become_user`], with `root` as the root of the file system and as the working directory. The groups are looked
/// up before: the files that tell them are beyond the new root.
pub fn become_user_below(root: &Path, user: &User, gid: u32) -> io::Result<()> {
    take_groups(user, gid)?;
    let changed = rustix::process::chroot(root).and_then(|()| rustix::process::chdir("/"));
    changed
        .map_err(io::Error::from)
        .map_err(|e| io::Error::new(e.kind(), format!("chroot to {}: {e}", root.display())))?;
    give_up_root(user)
}

fn take_groups(user: &User, gid: u32) -> io::Result<()> {
    let name = CString::new(user.name.as_str()).map_err(io::Error::other)?;
    // SAFETY: `name` is NUL-terminated; initgroups only reads it.
    check(unsafe { libc::initgroups(name.as_ptr(), gid) })?;
    // SAFETY: takes an integer only; glibc changes all threads together.
    check(unsafe { libc::setgid(gid) })
}

fn give_up_root(user: &User) -> io::Result<()> {
    // SAFETY: takes an integer only; glibc changes all threads together.
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

    /// Runs a test again in a process of its own; says whether it did.
    fn in_child(test: &str) -> bool {
        if std::env::var_os(IN_CHILD).is_some() {
            return false;
        }
        if !rustix::process::getuid().is_root() {
            eprintln!("skipped: needs root");
            return true;
        }
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("identity::tests::{test}")])
            .env(IN_CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success());
        true
    }

    #[test]
    fn root_becomes_nobody_and_cannot_return() {
        if in_child("root_becomes_nobody_and_cannot_return") {
            return;
        }
        let nobody = user_by_name("nobody").unwrap().unwrap();
        become_user(&nobody, nobody.gid).unwrap();
        assert_eq!(rustix::process::getuid().as_raw(), nobody.uid);
        assert_eq!(rustix::process::getgid().as_raw(), nobody.gid);
        assert!(std::fs::read("/etc/shadow").is_err());
    }

    #[test]
    fn nobody_below_another_root_sees_only_what_lies_there() {
        if in_child("nobody_below_another_root_sees_only_what_lies_there") {
            return;
        }
        let nobody = user_by_name("nobody").unwrap().unwrap();
        let root = std::env::temp_dir().join(format!("sys-root-{}", std::process::id()));
        let missing = become_user_below(&root, &nobody, nobody.gid).unwrap_err();
        assert!(missing.to_string().contains(&format!("chroot to {}: ", root.display())), "{missing}");
        std::fs::create_dir_all(root.join("inside")).unwrap();

        become_user_below(&root, &nobody, nobody.gid).unwrap();
        let seen: Vec<_> = std::fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(seen, ["inside"]);
        assert!(std::env::current_dir().unwrap() == Path::new("/"));
        assert_eq!(rustix::process::getuid().as_raw(), nobody.uid);
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
