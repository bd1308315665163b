//! Whose rights one thread has on files, so that a worker of a privileged process writes as each recipient in turn.

use crate::identity::check;
use std::io;

/// From now on the calling thread, and no other, opens and makes files as `uid` and `gid`, without other groups.
///
/// The process must run as root. The thread may call it again for the next recipient; what a file operation may do
/// beyond `uid`'s own rights (override modes, change owners) is gone until it acts as root again.
pub fn act_as(uid: u32, gid: u32) -> io::Result<()> {
    let groups = [gid];
    // SAFETY: the kernel reads one gid_t from `groups`. The raw call changes this thread alone, unlike glibc's.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 1usize, groups.as_ptr()) } as libc::c_int)?;
    set_and_verify(gid, libc::SYS_setfsgid)?;
    set_and_verify(uid, libc::SYS_setfsuid)
}

/// These calls tell no error: they answer what was in force before, so a second call tells whether the first worked.
fn set_and_verify(id: u32, call: libc::c_long) -> io::Result<()> {
    /// No valid id, so the call changes nothing.
    const ASK: libc::c_long = -1;
    // SAFETY: both calls take an integer only and change this thread's credentials alone.
    let now = unsafe {
        libc::syscall(call, libc::c_long::from(id));
        libc::syscall(call, ASK)
    };
    if now == libc::c_long::from(id) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("cannot act on files as id {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_thread_makes_files_as_another_and_the_process_stays_as_it_is() {
        if !rustix::process::getuid().is_root() {
            assert!(act_as(0, 0).is_err(), "who is not root cannot");
            return;
        }
        let dir = std::env::temp_dir().join(format!("sys-act-as-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let (ours, theirs) = (dir.join("ours"), dir.join("theirs"));
        std::fs::write(&ours, "secret").unwrap();
        std::fs::set_permissions(&ours, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for id in [65_534, 65_533] {
                    act_as(id, id).unwrap();
                    std::fs::write(&theirs, "x").unwrap();
                    let made = std::fs::metadata(&theirs).unwrap();
                    assert_eq!((made.uid(), made.gid()), (id, id));
                    assert!(std::fs::read(&ours).is_err(), "root's rights on files are gone");
                    std::fs::remove_file(&theirs).unwrap();
                }
            });
        });
        assert!(std::fs::read(&ours).is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
