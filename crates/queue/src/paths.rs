//! Where files lie below the queue directory: hashed directories as Postfix makes them.

use mail::QueueId;
use std::path::{Path, PathBuf};

/// `hash_queue_depth` at most; a short id has hardly more characters.
pub const HASH_DEPTH_MAX: usize = 16;

/// Which queues are hashed and how deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// `hash_queue_names`.
    pub names: Vec<String>,
    /// `hash_queue_depth`.
    pub depth: usize,
}

impl Default for Hashing {
    /// Postfix's defaults: `deferred, defer`, one level.
    fn default() -> Self {
        Hashing { names: vec!["deferred".into(), "defer".into()], depth: 1 }
    }
}

impl Hashing {
    /// The path of `id` in queue `queue`, relative to the queue directory.
    pub fn path(&self, queue: &str, id: &QueueId) -> PathBuf {
        let mut path = PathBuf::from(queue);
        if self.names.iter().any(|name| name == queue) {
            for level in levels(id, self.depth.min(HASH_DEPTH_MAX)) {
                path.push(level.to_string());
            }
        }
        path.push(id.as_str());
        path
    }

    /// All directories in which files of `queue` may lie, below `root`, as they exist now: other hands may have
    /// moved files, and the depth may have been another when they were written.
    pub fn directories(&self, root: &Path, queue: &str) -> Vec<PathBuf> {
        let mut found = vec![root.join(queue)];
        let mut next = 0;
        while next < found.len() {
            let depth = found[next].components().count() - root.join(queue).components().count();
            if depth < HASH_DEPTH_MAX {
                found.extend(sub_directories(&found[next]));
            }
            next += 1;
        }
        found
    }
}

/// The characters that choose the directories: of a short id its first ones, of a long one those of its microseconds.
fn levels(id: &QueueId, depth: usize) -> Vec<char> {
    let hashed = match id.long_form_micros() {
        Some(micros) => format!("{micros:05X}"),
        None => id.as_str().to_string(),
    };
    hashed.chars().chain(std::iter::repeat('_')).take(depth).collect()
}

fn sub_directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let one_character = |name: &std::ffi::OsStr| name.len() == 1;
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|e| one_character(&e.file_name()) && e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{QueueIdForm, Timestamp};

    #[test]
    fn short_ids_are_hashed_by_their_first_characters() {
        let id = QueueId::parse("98D8998C008").unwrap();
        let hashing = Hashing::default();
        assert_eq!(hashing.path("deferred", &id), Path::new("deferred/9/98D8998C008"));
        assert_eq!(hashing.path("hold", &id), Path::new("hold/98D8998C008"));
        let two = Hashing { depth: 2, ..hashing };
        assert_eq!(two.path("defer", &id), Path::new("defer/9/8/98D8998C008"));
        assert_eq!(two.path("defer", &QueueId::parse("A").unwrap()), Path::new("defer/A/_/A"));
    }

    #[test]
    fn long_ids_are_hashed_by_their_microseconds() {
        let id = QueueId::make(QueueIdForm::Long, Timestamp::from_micros(1_764_000_000_000_000 + 0xABCDE), 7);
        assert_eq!(Hashing::default().path("deferred", &id), Path::new("deferred/A").join(id.as_str()));
    }
}
