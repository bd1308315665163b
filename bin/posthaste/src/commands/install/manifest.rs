//! What an installation made, so that it can be taken back: one line a thing, in the order it was made.

use super::root::Root;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where the manifest lies.
pub const PATH: &str = "/var/lib/posthaste/installed";

/// A thing that was made. Paths are those below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A group.
    Group(String),
    /// A user.
    User(String),
    /// A directory.
    Directory(String),
    /// A symbolic link and where it leads.
    Link(String, String),
    /// A file and what shows that nobody changed it since.
    File(String, Stamp),
}

/// Bytes and time of change of a file, seconds and nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// Of a file as it is.
    pub fn of(path: &Path) -> std::io::Result<Stamp> {
        let file = std::fs::symlink_metadata(path)?;
        Ok(Stamp(format!("{}:{}.{:09}:{:o}", file.size(), file.mtime(), file.mtime_nsec(), file.mode())))
    }
}

impl Entry {
    /// The path of what has one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Entry::Directory(path) | Entry::Link(path, _) | Entry::File(path, _) => Some(path),
            Entry::Group(_) | Entry::User(_) => None,
        }
    }

    /// Whether what lies there is still what was made.
    pub fn is_unchanged(&self, root: &Root) -> bool {
        match self {
            Entry::Link(path, target) => {
                std::fs::read_link(root.at(path)).is_ok_and(|found| found == Path::new(target))
            }
            Entry::File(path, stamp) => Stamp::of(&root.at(path)).is_ok_and(|found| found == *stamp),
            _ => true,
        }
    }

    fn line(&self) -> String {
        match self {
            Entry::Group(name) => format!("group {name}"),
            Entry::User(name) => format!("user {name}"),
            Entry::Directory(path) => format!("directory {path}"),
            Entry::Link(path, target) => format!("link {target} {path}"),
            Entry::File(path, Stamp(stamp)) => format!("file {stamp} {path}"),
        }
    }

    fn parse(line: &str) -> Option<Entry> {
        let (kind, rest) = line.split_once(' ')?;
        let two = || rest.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Some(match kind {
            "group" => Entry::Group(rest.to_owned()),
            "user" => Entry::User(rest.to_owned()),
            "directory" => Entry::Directory(rest.to_owned()),
            "link" => two().map(|(target, path)| Entry::Link(path, target))?,
            "file" => two().map(|(stamp, path)| Entry::File(path, Stamp(stamp)))?,
            _ => return None,
        })
    }
}

/// The things of an installation. A path may stand twice for a moment, as the old thing and the new one, so that a crash
/// between writing this and putting the new one in place leaves none that is not known.
#[derive(Debug, Default)]
pub struct Manifest(Vec<Entry>);

impl Manifest {
    /// Reads it; none is an empty one. The error names file and line.
    pub fn read(root: &Root) -> Result<Manifest, String> {
        let path = root.at(PATH);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Manifest::default()),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        let entry = |(index, line)| {
            Entry::parse(line).ok_or_else(|| {
                let (path, number) = (path.display(), index + 1);
                format!(
                    "{path}: line {number}: expected group, user, directory, link or file, found `{line}`"
                )
            })
        };
        text.lines().enumerate().map(entry).collect::<Result<_, _>>().map(Manifest)
    }

    /// Writes it, or removes it when it is empty.
    pub fn write(&self, root: &Root) -> Result<(), String> {
        let path = root.at(PATH);
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        let directory = path.parent().expect("PATH has a parent");
        if self.0.is_empty() {
            std::fs::remove_file(&path).map_err(failed)?;
            // What else is there keeps it.
            let _ = std::fs::remove_dir(directory);
            return Ok(());
        }
        std::fs::create_dir_all(directory).map_err(failed)?;
        let new = path.with_extension("new");
        let mut file = std::fs::File::create(&new).map_err(failed)?;
        let text: String = self.0.iter().map(|entry| entry.line() + "\n").collect();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)
    }

    /// All things, in the order they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Adds what is about to be made, and writes.
    pub fn add(&mut self, entry: Entry, root: &Root) -> Result<(), String> {
        if !self.0.contains(&entry) {
            self.0.push(entry);
        }
        self.write(root)
    }

    /// Forgets what is gone.
    pub fn forget(&mut self, entry: &Entry) {
        self.0.retain(|other| other != entry);
    }

    /// Forgets what stood where this stands now.
    pub fn forget_others(&mut self, entry: &Entry) {
        self.0.retain(|other| other == entry || other.path().is_none() || other.path() != entry.path());
    }

    /// The entries of a path.
    pub fn of_path<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.path() == Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_are_written() {
        for entry in [
            Entry::Group("postdrop".into()),
            Entry::User("postfix".into()),
            Entry::Directory("/var/spool/post fix".into()),
            Entry::Link("/usr/bin/mailq".into(), "../sbin/sendmail".into()),
            Entry::File("/usr/sbin/postdrop".into(), Stamp("1:2.000000003:102755".into())),
        ] {
            assert_eq!(Entry::parse(&entry.line()), Some(entry));
        }
        assert_eq!(Entry::parse("file /usr/sbin/x"), None);
        assert_eq!(Entry::parse("socket x"), None);
    }
}
