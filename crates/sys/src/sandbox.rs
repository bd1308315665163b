//! What a process gives up for itself: files that it needs not see, system calls that it needs not make.
//!
//! Call both before the process has a second thread: they hold for the calling thread and all that it makes later.

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// How far the kernel keeps files from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSandbox {
    /// Everything that was asked for.
    Full,
    /// Some kinds of access only: an older kernel.
    Partial,
    /// Nothing: the kernel has no landlock.
    None,
}

/// The version of landlock whose kinds of access are asked for: Linux 6.2, truncation included.
const LANDLOCK: ABI = ABI::V3;

/// From now on this process can read only what lies below `read`, and read, write, make and remove below `write`.
/// What is open stays open, and below a directory in `opened` it can do as below `write`, be that within its root or
/// not. Paths that do not exist are left out.
pub fn restrict_files(
    read: &[PathBuf],
    write: &[PathBuf],
    opened: &[BorrowedFd<'_>],
) -> io::Result<FileSandbox> {
    let (reading, all) = (
        AccessFs::from_read(LANDLOCK) & !AccessFs::Execute,
        AccessFs::from_all(LANDLOCK) & !AccessFs::Execute,
    );
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| -> io::Result<()> {
        let Ok(fd) = PathFd::new(path) else { return Ok(()) };
        // A rule for one file takes only what is possible with a file.
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
        rules = rules.try_clone()?.add_rule(PathBeneath::new(fd, access)).map_err(io::Error::other)?;
        Ok(())
    };
    for path in read {
        allow(path, reading)?;
    }
    for path in write {
        allow(path, all)?;
    }
    for directory in opened {
        rules = rules.add_rule(PathBeneath::new(directory, all)).map_err(io::Error::other)?;
    }
    let status = rules.restrict_self().map_err(io::Error::other)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => FileSandbox::Full,
        RulesetStatus::PartiallyEnforced => FileSandbox::Partial,
        RulesetStatus::NotEnforced => FileSandbox::None,
    })
}

/// System calls that no process of ours makes once it serves: other programs, other processes' memory, the kernel.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// From now on this process cannot run programs, look into others or change the kernel: such calls fail with EPERM.
/// Also sets no_new_privs. An architecture without a filter is an error of kind Unsupported.
pub fn forbid_system_calls() -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|e| io::Error::new(io::ErrorKind::Unsupported, e.to_string()))?;
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    // The crate sets no_new_privs itself, without which the kernel takes no filter.
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs a test again in a process of its own, which may restrict itself.
    fn alone(test: &str, in_child: impl FnOnce(&Path)) {
        if let Some(dir) = std::env::var_os("SYS_TEST_SANDBOX") {
            return in_child(Path::new(&dir));
        }
        let dir = std::env::temp_dir().join(format!("sys-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let name = format!("sandbox::tests::{test}");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--test-threads=1", "--nocapture"])
            .env("SYS_TEST_SANDBOX", &dir)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn files_outside_the_named_directories_are_out_of_reach() {
        alone("files_outside_the_named_directories_are_out_of_reach", |dir| {
            let (read, write, other) = (dir.join("read"), dir.join("write"), dir.join("other"));
            for d in [&read, &write, &other] {
                std::fs::create_dir_all(d).unwrap();
                std::fs::write(d.join("file"), "x").unwrap();
            }
            let status =
                restrict_files(&[read.clone(), "/no/such/path".into()], std::slice::from_ref(&write), &[])
                    .unwrap();
            if status != FileSandbox::None {
                assert!(std::fs::read(read.join("file")).is_ok());
                assert!(std::fs::write(read.join("file"), "y").is_err());
                assert!(std::fs::write(write.join("new"), "y").is_ok());
                assert!(std::fs::remove_file(write.join("new")).is_ok());
                assert!(std::fs::read(other.join("file")).is_err());
                assert!(Command::new("/bin/true").status().is_err());
            }
        });
    }

    #[test]
    fn no_program_can_be_run_behind_the_filter() {
        alone("no_program_can_be_run_behind_the_filter", |_| {
            assert!(Command::new("/bin/true").status().is_ok());
            match forbid_system_calls() {
                Err(e) if e.kind() == io::ErrorKind::Unsupported => return,
                result => result.unwrap(),
            }
            let refused = Command::new("/bin/true").status().unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
            assert!(std::fs::read("/proc/self/stat").is_ok());
        });
    }
}
