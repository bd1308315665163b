//! Which indexes Postfix would find stale: it knows nothing of ours beside its own.

use super::Format;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why Postfix would not see what we see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Our index is newer than Postfix's, or there is none of Postfix's.
    OursIsNewer(PathBuf),
    /// The source was changed behind Postfix's index.
    SourceIsNewer(PathBuf),
}

/// Whether Postfix's index of the `hash:` or `btree:` table at `source` is stale.
pub fn stale_for_postfix(source: &Path) -> Option<Stale> {
    let changed = |path: &Path| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    let theirs = changed(&Format::BerkeleyHash.path(source));
    let ours = Format::Own.path(source);
    if changed(&ours).is_some_and(|ours| theirs.is_none_or(|theirs| ours > theirs)) {
        return Some(Stale::OursIsNewer(ours));
    }
    let is_newer = changed(source).zip(theirs).is_some_and(|(source, theirs)| source > theirs);
    is_newer.then(|| Stale::SourceIsNewer(source.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn an_index_of_ours_or_a_source_that_is_newer_makes_postfix_stale() {
        let directory = std::env::temp_dir().join(format!("stale-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let source = directory.join("virtual");
        let set = |path: &Path, seconds: u64| {
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        set(&source, 10);
        assert_eq!(stale_for_postfix(&source), None, "a table that was never built");
        set(&Format::Own.path(&source), 20);
        assert_eq!(stale_for_postfix(&source), Some(Stale::OursIsNewer(Format::Own.path(&source))));
        set(&Format::BerkeleyHash.path(&source), 30);
        assert_eq!(stale_for_postfix(&source), None);
        set(&source, 40);
        assert_eq!(stale_for_postfix(&source), Some(Stale::SourceIsNewer(source.clone())));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
