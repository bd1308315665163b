//! `posthaste rollback`: back to the last configuration that served, and the running system takes it.

use super::Call;
use super::instance::{self, Place};
use master::history::{FILES, History, Served, Texts};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

/// What is put behind the names of the files that were taken back.
const SUFFIX: &str = "before-rollback";

/// Runs the command.
pub fn run(call: Call) -> ExitCode {
    let found = instance::config_directory(&call).and_then(|directory| instance::find_place(&directory));
    match found.and_then(|(place, _)| put_back(&place).map(|()| place)) {
        Ok(place) => instance::reload_if_running(call, &place),
        Err(why) => {
            eprintln!("{why}");
            eprintln!("posthaste rollback: fatal: nothing was changed");
            ExitCode::FAILURE
        }
    }
}

/// Puts the files of the last other configuration in place of what stands there.
fn put_back(place: &Place) -> Result<(), String> {
    let directory = &place.directory;
    let failed = |what: &Path, e: std::io::Error| format!("{}: {e}", what.display());
    let current = Texts::read(directory).map_err(|e| failed(directory, e))?;
    let history = History::new(&place.locks.pid_file);
    let last = history.last_other(&current).map_err(|e| failed(&place.locks.pid_file, e))?;
    let last = last.ok_or_else(|| {
        format!(
            "{}: no other configuration has served here since Posthaste was started first",
            directory.display()
        )
    })?;
    println!("Back to the configuration of {}:", time(&last));
    for ((name, old), new) in
        FILES.iter().zip(&last.texts.0).zip(&current.0).filter(|((_, old), new)| old != new)
    {
        let path = directory.join(name);
        let aside = directory.join(format!("{name}.{SUFFIX}"));
        std::fs::copy(&path, &aside).map_err(|e| failed(&aside, e))?;
        config::postconf::replace_file(&path, old)?;
        println!("{} (what stood there is {} now)", path.display(), aside.display());
        show(old, new);
    }
    history.forget_behind(&last).map_err(|e| failed(&place.locks.pid_file, e))
}

/// The lines that are in one of the texts only.
fn show(old: &[u8], new: &[u8]) {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), new.lines().collect());
    new.lines().filter(|line| !before.contains(line)).for_each(|line| println!("- {line}"));
    old.lines().filter(|line| !after.contains(line)).for_each(|line| println!("+ {line}"));
}

/// When a configuration was taken, in the host's time.
fn time(served: &Served) -> String {
    let seconds = served.since.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    sys::local_time(i64::try_from(seconds).unwrap_or(0))
        .map_or_else(|_| "long ago".to_owned(), |t| t.asctime())
}
