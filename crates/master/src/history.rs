//! The configurations that served: kept beside the pid file, so that a bad change can be taken back.
//!
//! Only root (or the caller, where everything runs as the caller) can write there, since what is kept is put in place
//! by root one day.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Configurations that are kept; the oldest goes.
const KEPT_MAX: usize = 10;

/// The files of a configuration.
pub const FILES: [&str; 2] = ["main.cf", "master.cf"];

/// The texts of [`FILES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts(pub [Vec<u8>; 2]);

impl Texts {
    /// Reads the files in a directory.
    pub fn read(directory: &Path) -> io::Result<Texts> {
        let [main, master] = FILES;
        Ok(Texts([std::fs::read(directory.join(main))?, std::fs::read(directory.join(master))?]))
    }
}

/// A configuration that served.
#[derive(Debug)]
pub struct Served {
    /// When it was taken.
    pub since: SystemTime,
    /// What stood in its files.
    pub texts: Texts,
    number: u64,
}

/// The configurations that served an instance.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
}

impl History {
    /// The history of the instance with this pid file.
    pub fn new(pid_file: &Path) -> History {
        History { directory: pid_file.with_file_name("configurations") }
    }

    /// Keeps a configuration as the newest, unless it is that already.
    pub fn keep(&self, texts: &Texts) -> io::Result<()> {
        let numbers = self.numbers()?;
        if let Some(newest) = numbers.last()
            && Texts::read(&self.place(*newest)).is_ok_and(|kept| kept == *texts)
        {
            return Ok(());
        }
        let number = numbers.last().map_or(1, |newest| newest + 1);
        let new = self.directory.join("new");
        let _ = std::fs::remove_dir_all(&new);
        DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
        for (name, text) in FILES.iter().zip(&texts.0) {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(name))?;
            file.write_all(text)?;
            file.sync_all()?;
        }
        std::fs::rename(&new, self.place(number))?;
        for old in numbers.iter().rev().skip(KEPT_MAX - 1) {
            std::fs::remove_dir_all(self.place(*old))?;
        }
        Ok(())
    }

    /// The newest that is not `current`.
    pub fn last_other(&self, current: &Texts) -> io::Result<Option<Served>> {
        for number in self.numbers()?.into_iter().rev() {
            let place = self.place(number);
            let texts = Texts::read(&place)?;
            if texts != *current {
                return Ok(Some(Served { since: std::fs::metadata(&place)?.modified()?, texts, number }));
            }
        }
        Ok(None)
    }

    /// Forgets what came behind `served`: it is the newest now.
    pub fn forget_behind(&self, served: &Served) -> io::Result<()> {
        self.numbers()?
            .into_iter()
            .filter(|number| *number > served.number)
            .try_for_each(|number| std::fs::remove_dir_all(self.place(number)))
    }

    fn place(&self, number: u64) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// The numbers of what is kept, the newest last.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut numbers: Vec<u64> = names.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(main: &str) -> Texts {
        Texts([main.as_bytes().to_vec(), b"smtp inet n - n - - smtpd\n".to_vec()])
    }

    #[test]
    fn the_last_other_configuration_is_found_and_few_are_kept() {
        let directory = std::env::temp_dir().join(format!("history-{}", std::process::id()));
        let history = History::new(&directory.join("master.pid"));
        assert!(history.last_other(&texts("a")).expect("an empty history").is_none());
        for main in ["a", "b", "b", "c"] {
            history.keep(&texts(main)).expect("a place to keep it");
        }
        assert_eq!(history.numbers().expect("numbers"), [1, 2, 3]);
        // A change that never served, then the one that runs, then further back.
        let last = |current| history.last_other(&texts(current)).expect("a history");
        assert_eq!(last("d").map(|s| s.texts), Some(texts("c")));
        let b = last("c").expect("b served before c");
        assert_eq!(b.texts, texts("b"));
        history.forget_behind(&b).expect("c is forgotten");
        assert_eq!(last("b").map(|s| s.texts), Some(texts("a")));
        for number in 0..20 {
            history.keep(&texts(&number.to_string())).expect("a place to keep it");
        }
        assert_eq!(history.numbers().expect("numbers").len(), KEPT_MAX);
        std::fs::remove_dir_all(&directory).expect("the directory is ours");
    }
}
