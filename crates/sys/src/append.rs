//! A file to append to in a directory that belongs to somebody else.

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, openat};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Opens a file for appending. A new one has mode 0600 and, where we are root, the owner of its directory, so that
/// both can write to it. The last part of the path may not be a symbolic link, by which the directory's owner could
/// lead root elsewhere.
pub fn open_append_as_directory_owner(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?);
    if rustix::process::geteuid().is_root() {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = std::fs::metadata(directory)?;
        fchown(&file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lines_are_appended_for_the_directorys_owner_and_links_are_refused() {
        let dir = std::env::temp_dir().join(format!("sys-append-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).unwrap();
        }
        let path = dir.join("log");
        for text in ["one\n", "two\n"] {
            open_append_as_directory_owner(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), std::fs::metadata(&dir).unwrap().uid());
        std::os::unix::fs::symlink(&path, dir.join("link")).unwrap();
        assert!(open_append_as_directory_owner(&dir.join("link")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
