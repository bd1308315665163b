//! How a reload ends, and how the command that asked for it hears of that.
//!
//! The command listens on a socket of its own beside the pid file, where only root (or the caller, where everything
//! runs as the caller) may make one, and sends SIGHUP. Master tells all such sockets how the reload ended. A SIGHUP
//! from elsewhere leaves nobody to tell.

use crate::role::RoleKind;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long processes may take to take a configuration; a role that starts has as long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a command waits: longer than master does, which tells what kept it.
const ASK_TIME_MAX: Duration = Duration::from_secs(35);

/// How long master takes to tell a command that does not read.
const TELL_TIME_MAX: Duration = Duration::from_secs(1);

const PREFIX: &str = "reload-";

/// A reload under way.
pub(crate) struct Reloading {
    waiting: BTreeMap<i32, RoleKind>,
    failures: Vec<String>,
    /// When it ends without those who have not answered.
    pub deadline: Instant,
}

impl Reloading {
    /// Waits for these processes; what went wrong already is kept.
    pub fn new(waiting: BTreeMap<i32, RoleKind>, failures: Vec<String>) -> Self {
        Reloading { waiting, failures, deadline: Instant::now() + ANSWER_TIME_MAX }
    }

    /// A process took the configuration, or could not.
    pub fn answered(&mut self, pid: i32, failure: Option<String>) {
        if let Some(kind) = self.waiting.remove(&pid)
            && let Some(why) = failure
        {
            self.failures.push(format!("{kind}: {why}"));
        }
    }

    /// Nobody is waited for any more.
    pub fn give_up(&mut self) {
        let late = std::mem::take(&mut self.waiting);
        let seconds = ANSWER_TIME_MAX.as_secs();
        self.failures.extend(late.values().map(|kind| format!("{kind}: no answer within {seconds} s")));
    }

    /// How it ended, once all have answered.
    pub fn ended(&mut self) -> Option<Result<(), String>> {
        if !self.waiting.is_empty() {
            return None;
        }
        let failures = std::mem::take(&mut self.failures);
        Some(if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) })
    }
}

/// Tells the commands that wait beside the pid file how the reload ended.
pub(crate) fn tell(pid_file: &Path, result: &Result<(), String>) {
    let directory = pid_file.parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let asks = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(asks) {
        // Who is gone left its socket behind.
        if tell_one(&path, result).is_err() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn tell_one(path: &Path, result: &Result<(), String>) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(TELL_TIME_MAX))?;
    let text = match result {
        Ok(()) => "ok\n".to_owned(),
        Err(why) => format!("failed\n{why}"),
    };
    stream.write_all(text.as_bytes())
}

/// Waits for the end of a reload; made before it is asked for.
pub struct Waiter {
    path: PathBuf,
    listener: UnixListener,
}

impl Waiter {
    /// A socket beside the pid file.
    pub fn new(pid_file: &Path) -> io::Result<Waiter> {
        let path = pid_file.with_file_name(format!("{PREFIX}{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        Ok(Waiter { path, listener })
    }

    /// How the reload ended; what went wrong has a line for each thing.
    pub fn wait(self) -> Result<(), String> {
        let silent = |why: &str| format!("master did not say how the reload ended ({why}): see the log");
        let deadline = std::time::Instant::now() + ASK_TIME_MAX;
        self.listener.set_nonblocking(true).map_err(|e| silent(&e.to_string()))?;
        let mut stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(silent(&e.to_string())),
                Err(_) if std::time::Instant::now() > deadline => return Err(silent("no answer")),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let mut text = String::new();
        let read = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(TELL_TIME_MAX)))
            .and_then(|()| stream.read_to_string(&mut text));
        read.map_err(|e| silent(&e.to_string()))?;
        match text.split_once('\n') {
            Some(("ok", _)) => Ok(()),
            Some(("failed", why)) => Err(why.to_owned()),
            _ => Err(silent("an answer that makes no sense")),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_hears_what_each_process_made_of_the_new_configuration() {
        let directory = std::env::temp_dir().join(format!("reloading-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        let pid_file = directory.join("master.pid");
        let mut reloading =
            Reloading::new(BTreeMap::from([(7, RoleKind::Qmgr), (8, RoleKind::Smtpd)]), vec![]);
        reloading.answered(7, None);
        assert_eq!(reloading.ended(), None);
        reloading.answered(8, Some("no".to_owned()));
        let result = reloading.ended().expect("all have answered");
        let waiter = Waiter::new(&pid_file).expect("a socket");
        std::fs::write(directory.join("reload-0"), "").expect("what a killed command left");
        tell(&pid_file, &result);
        assert_eq!(waiter.wait(), Err("smtpd: no".to_owned()));
        assert_eq!(std::fs::read_dir(&directory).expect("the directory").count(), 0);
        std::fs::remove_dir(&directory).expect("the directory is empty");
    }
}
