//! The directories of a spool, with Postfix's modes and owners; missing ones are made.

use rustix::fs::{AtFlags, CWD, Mode, chmod, chownat};
use rustix::process::{Gid, Uid};
use std::io;
use std::path::{Path, PathBuf};

/// Whom the spool belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Uid and gid of `mail_owner`.
    pub mail_owner: (u32, u32),
    /// Gid of `setgid_group`.
    pub setgid_group: u32,
}

/// Who owns a directory.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    Root,
    Mail,
    /// mail_owner and setgid_group: commands of ordinary users get in.
    MailAndGroup,
}

/// Every directory below queue_directory, parents first.
pub(crate) const DIRECTORIES: &[(&str, u32, Owner)] = &[
    ("active", 0o700, Owner::Mail),
    ("bounce", 0o700, Owner::Mail),
    ("corrupt", 0o700, Owner::Mail),
    ("defer", 0o700, Owner::Mail),
    ("deferred", 0o700, Owner::Mail),
    ("flush", 0o700, Owner::Mail),
    ("hold", 0o700, Owner::Mail),
    ("incoming", 0o700, Owner::Mail),
    // Ours: docs/queue-format.md.
    ("journal", 0o700, Owner::Mail),
    ("journal/large", 0o700, Owner::Mail),
    ("maildrop", 0o730, Owner::MailAndGroup),
    ("pid", 0o755, Owner::Root),
    ("private", 0o700, Owner::Mail),
    ("public", 0o710, Owner::MailAndGroup),
    ("saved", 0o700, Owner::Mail),
    ("trace", 0o700, Owner::Mail),
];

/// Makes what is missing of queue_directory and data_directory. Without `owners` (not root) all is the caller's.
/// What exists is left as it is, as Postfix leaves it; answers what was made.
pub fn create_missing(queue: &Path, data: &Path, owners: Option<&Owners>) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for parent in [queue, data] {
        if let Some(parent) = parent.parent() {
            std::fs::create_dir_all(parent).map_err(|e| named(parent, &e))?;
        }
    }
    let mut make = |path: PathBuf, mode: u32, owner: &Owner| -> io::Result<()> {
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
            Err(e) => return Err(named(&path, &e)),
        }
        let ids = owners.map(|o| match owner {
            Owner::Root => (0, 0),
            Owner::Mail => (o.mail_owner.0, 0),
            Owner::MailAndGroup => (o.mail_owner.0, o.setgid_group),
        });
        if let Some((uid, gid)) = ids {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(CWD, &path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| named(&path, &e.into()))?;
        }
        // mkdir's mode is cut by the umask.
        chmod(&path, Mode::from_raw_mode(mode)).map_err(|e| named(&path, &e.into()))?;
        made.push(path);
        Ok(())
    };
    make(queue.into(), 0o755, &Owner::Root)?;
    for (name, mode, owner) in DIRECTORIES {
        make(queue.join(name), *mode, owner)?;
    }
    make(data.into(), 0o700, &Owner::Mail)?;
    Ok(made)
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn missing_directories_get_postfix_modes_and_existing_ones_are_left() {
        let root = std::env::temp_dir().join(format!("master-dirs-{}", std::process::id()));
        let (queue, data) = (root.join("spool/queue"), root.join("lib/data"));
        std::fs::create_dir_all(queue.join("hold")).unwrap();
        chmod(queue.join("hold"), Mode::from_raw_mode(0o750)).unwrap();

        let made = create_missing(&queue, &data, None).unwrap();

        let mode = |name: &str| std::fs::metadata(queue.join(name)).unwrap().mode() & 0o7777;
        assert_eq!(
            ["maildrop", "public", "private", "pid", "hold"].map(mode),
            [0o730, 0o710, 0o700, 0o755, 0o750]
        );
        assert_eq!(made.len(), DIRECTORIES.len());
        assert_eq!(create_missing(&queue, &data, None).unwrap(), Vec::<PathBuf>::new());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
