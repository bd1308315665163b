//! Log lines of master and of the commands that steer it.

use crate::{Event, Level};
use std::fmt::Write as _;

/// Writing to a String cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out, $($text)*);
    }};
}

/// `daemon started -- version 0.1.0, configuration /etc/postfix`
pub struct DaemonStarted<'a> {
    /// Our version.
    pub version: &'a str,
    /// The directory of main.cf.
    pub configuration: &'a str,
}

impl Event for DaemonStarted<'_> {
    fn line(&self, out: &mut String) {
        line!(out, "daemon started -- version {}, configuration {}", self.version, self.configuration);
    }
}

/// `reload -- version 0.1.0, configuration /etc/postfix`
pub struct Reload<'a> {
    /// Our version.
    pub version: &'a str,
    /// The directory of main.cf.
    pub configuration: &'a str,
}

impl Event for Reload<'_> {
    fn line(&self, out: &mut String) {
        line!(out, "reload -- version {}, configuration {}", self.version, self.configuration);
    }
}

/// `terminating on signal 15`
pub struct Terminating {
    /// The signal's number.
    pub signal: i32,
}

impl Event for Terminating {
    fn line(&self, out: &mut String) {
        line!(out, "terminating on signal {}", self.signal);
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
}

/// `warning: process smtpd pid 123 exit status 1` or `… killed by signal 9`
pub struct ProcessEnded<'a> {
    /// The role.
    pub role: &'a str,
    /// Its process id.
    pub pid: i32,
    /// How it ended.
    pub ended: Ended,
}

impl Event for ProcessEnded<'_> {
    fn line(&self, out: &mut String) {
        match self.ended {
            Ended::Status(n) => line!(out, "process {} pid {} exit status {n}", self.role, self.pid),
            Ended::Signal(n) => line!(out, "process {} pid {} killed by signal {n}", self.role, self.pid),
        }
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// `warning: qmgr: bad command startup -- throttling`: it ended soon after its start, so the next start waits.
pub struct Throttling<'a> {
    /// The role.
    pub role: &'a str,
}

impl Event for Throttling<'_> {
    fn line(&self, out: &mut String) {
        line!(out, "{}: bad command startup -- throttling", self.role);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// `starting the Postfix mail system`; log watchers know Postfix's words.
pub struct Starting;

impl Event for Starting {
    fn line(&self, out: &mut String) {
        out.push_str("starting the Postfix mail system");
    }
}

/// `stopping the Postfix mail system`
pub struct Stopping;

impl Event for Stopping {
    fn line(&self, out: &mut String) {
        out.push_str("stopping the Postfix mail system");
    }
}

/// `aborting the Postfix mail system`
pub struct Aborting;

impl Event for Aborting {
    fn line(&self, out: &mut String) {
        out.push_str("aborting the Postfix mail system");
    }
}

/// `refreshing the Postfix mail system`
pub struct Refreshing;

impl Event for Refreshing {
    fn line(&self, out: &mut String) {
        out.push_str("refreshing the Postfix mail system");
    }
}

/// `waiting for the Postfix mail system to terminate`
pub struct Waiting;

impl Event for Waiting {
    fn line(&self, out: &mut String) {
        out.push_str("waiting for the Postfix mail system to terminate");
    }
}

/// `the Postfix mail system is running: PID: 123`, or that it is not.
pub struct Status {
    /// The process id of master, where one runs.
    pub pid: Option<i32>,
}

impl Event for Status {
    fn line(&self, out: &mut String) {
        match self.pid {
            Some(pid) => line!(out, "the Postfix mail system is running: PID: {pid}"),
            None => out.push_str("the Postfix mail system is not running"),
        }
    }
}

/// `fatal: the Postfix mail system is already running`, or is not running.
pub struct WrongState {
    /// Whether it runs.
    pub running: bool,
}

impl Event for WrongState {
    fn line(&self, out: &mut String) {
        out.push_str("the Postfix mail system is ");
        out.push_str(if self.running { "already running" } else { "not running" });
    }

    fn level(&self) -> Level {
        Level::Fatal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &impl Event) -> String {
        let mut out = String::new();
        event.line(&mut out);
        out
    }

    #[test]
    fn lines_have_the_shapes_that_log_watchers_know() {
        assert_eq!(
            text(&DaemonStarted { version: "0.1.0", configuration: "/etc/postfix" }),
            "daemon started -- version 0.1.0, configuration /etc/postfix"
        );
        let killed = ProcessEnded { role: "qmgr", pid: 7, ended: Ended::Signal(9) };
        assert_eq!(text(&killed), "process qmgr pid 7 killed by signal 9");
        assert_eq!(text(&Status { pid: Some(7) }), "the Postfix mail system is running: PID: 7");
        assert_eq!(text(&WrongState { running: true }), "the Postfix mail system is already running");
    }
}
