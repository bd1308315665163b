//! The tree that is installed into: paths below it, the host's packages, its users.

use super::manifest::{Entry, Manifest};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root directory, `/` or that of `--root`.
pub struct Root {
    directory: PathBuf,
}

/// A user's or a group's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Uid, of users.
    pub user: u32,
    /// Gid.
    pub group: u32,
}

impl Root {
    /// The tree at a directory that exists.
    pub fn open(directory: &Path) -> Result<Root, String> {
        match directory.canonicalize() {
            Ok(found) if found.is_dir() => Ok(Root { directory: found }),
            Ok(_) => Err(format!("{}: expected a directory", directory.display())),
            Err(e) => Err(format!("{}: {e}", directory.display())),
        }
    }

    /// A path of the tree.
    pub fn at(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    /// A path of the tree as it is written in it.
    pub fn inside(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.directory).unwrap_or(path);
        Path::new("/").join(below).display().to_string()
    }

    fn is_host(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// Why nothing may be made at a path; nothing where it may.
    pub fn refuses(&self, path: &str, manifest: &Manifest) -> Option<String> {
        let at = self.at(path);
        // A link that leads out of the tree would have us change the host.
        let parent = at.ancestors().skip(1).find_map(|parent| parent.canonicalize().ok());
        if parent.is_none_or(|parent| !parent.starts_with(&self.directory)) {
            return Some(format!("{path}: lies outside of {}", self.directory.display()));
        }
        match self.package_of(path) {
            Ok(None) => {}
            Ok(Some(package)) => {
                return Some(format!("{path}: belongs to the package {package}: remove that first"));
            }
            Err(why) => return Some(why),
        }
        if std::fs::symlink_metadata(&at).is_err() {
            return None;
        }
        let mut ours = manifest.of_path(path).peekable();
        if ours.peek().is_none() {
            return Some(format!("{path}: is there, and no installation made it: move it away"));
        }
        let unchanged = ours.any(|entry| entry.is_unchanged(self));
        (!unchanged).then(|| format!("{path}: was changed since it was installed: move it away"))
    }

    /// The package of Debian's that owns a path, under its name before or behind the merge of /usr.
    fn package_of(&self, path: &str) -> Result<Option<String>, String> {
        let database = self.at("/var/lib/dpkg");
        if !database.join("info").is_dir() {
            return Ok(None);
        }
        for name in [Some(path), path.strip_prefix("/usr")].into_iter().flatten() {
            let output = Command::new("dpkg-query")
                .arg(format!("--admindir={}", database.display()))
                .args(["--search", name])
                .env("LC_ALL", "C")
                .output()
                .map_err(|e| format!("dpkg-query, which tells whose {path} is: {e}"))?;
            let text = String::from_utf8_lossy(&output.stdout);
            let owner = text.lines().filter_map(|line| line.rsplit_once(": "));
            if let Some((package, _)) = owner.into_iter().find(|(_, found)| *found == name) {
                return Ok(Some(package.to_owned()));
            }
        }
        Ok(None)
    }

    /// The numbers of a user.
    pub fn user(&self, name: &str) -> Result<Option<Ids>, String> {
        if self.is_host() {
            let user = sys::user_by_name(name).map_err(|e| format!("user {name}: {e}"))?;
            return Ok(user.map(|user| Ids { user: user.uid, group: user.gid }));
        }
        Ok(self.fields("/etc/passwd", name)?.and_then(|fields| {
            Some(Ids { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
        }))
    }

    /// The number of a group.
    pub fn group(&self, name: &str) -> Result<Option<u32>, String> {
        if self.is_host() {
            let group = sys::group_by_name(name).map_err(|e| format!("group {name}: {e}"))?;
            return Ok(group.map(|group| group.gid));
        }
        Ok(self.fields("/etc/group", name)?.and_then(|fields| fields.get(2)?.parse().ok()))
    }

    /// The fields of a name's line in passwd or group.
    fn fields(&self, file: &str, name: &str) -> Result<Option<Vec<String>>, String> {
        let path = self.at(file);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        Ok(line.map(|line| line.split(':').map(str::to_owned).collect()))
    }

    /// Runs a command of the host's user database on the tree's.
    pub fn account(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(program);
        if !self.is_host() {
            command.arg("--prefix").arg(&self.directory);
        }
        let output = command.args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{program} {}: {}", arguments.join(" "), said.trim())),
        }
    }

    /// Takes back what was made, unless it is something else by now; `kept` is what could not be taken back so far.
    pub fn remove(&self, entry: &Entry, kept: &[String]) -> Result<(), String> {
        let gone = |path: &str, result: io::Result<()>| match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(format!("{path}: kept: {e}")),
            Ok(()) => Ok(()),
        };
        match entry {
            Entry::File(path, _) | Entry::Link(path, _) => {
                let at = self.at(path);
                if std::fs::symlink_metadata(&at).is_ok() && !entry.is_unchanged(self) {
                    return Err(format!("{path}: kept: it was changed since it was installed"));
                }
                gone(path, std::fs::remove_file(at))
            }
            Entry::Directory(path) => gone(path, std::fs::remove_dir(self.at(path))),
            Entry::User(name) | Entry::Group(name) if !kept.is_empty() => {
                Err(format!("{name}: kept, since what is kept may belong to it"))
            }
            Entry::User(name) => match self.user(name)? {
                Some(_) => self.account("userdel", &[name]),
                None => Ok(()),
            },
            Entry::Group(name) => match self.group(name)? {
                Some(_) => self.account("groupdel", &[name]),
                None => Ok(()),
            },
        }
    }
}
