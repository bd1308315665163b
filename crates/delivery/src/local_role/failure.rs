//! What went wrong with a mailbox: the code and the words that Postfix has for it.

use mail::{Dsn, Status};
use rustix::io::Errno;
use std::fmt::Display;
use std::io;

/// What the sender is told where the administrator must act.
pub const CONFIGURATION_ERROR: &str = "mail system configuration error";

/// A delivery that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Enhanced code; its class decides between later and never.
    pub dsn: Dsn,
    /// The reason.
    pub reason: String,
    /// What an external command said, for reports (`Diagnostic-Code: x-unix`).
    pub diagnostic: Option<String>,
    /// Lines for the administrator.
    pub notes: Vec<Note>,
}

/// A line for the log besides the recipient's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// In Postfix a process ended.
    Fatal(String),
    /// For information.
    Info(String),
    /// The administrator should do something.
    Warning(String),
}

impl Note {
    /// Puts words in front.
    pub fn put_before(&mut self, words: &str) {
        let (Note::Fatal(text) | Note::Info(text) | Note::Warning(text)) = self;
        text.insert_str(0, words);
    }
}

impl Failure {
    /// A failure with this code.
    pub fn new(dsn: Dsn, reason: impl Into<String>) -> Self {
        Failure { dsn, reason: reason.into(), diagnostic: None, notes: Vec::new() }
    }

    /// `WHAT: REASON` of a file operation, with the code that its error stands for, or `otherwise`.
    pub fn io(otherwise: Dsn, what: impl Display, error: &io::Error) -> Self {
        Failure::new(code(error).unwrap_or(otherwise), format!("{what}: {}", words(error)))
    }

    /// The configuration is wrong: deferred, and the administrator is told why.
    pub fn configuration(warning: String) -> Self {
        Failure {
            notes: vec![Note::Warning(warning)],
            ..Failure::new(Dsn::new(4, 3, 5), CONFIGURATION_ERROR)
        }
    }

    /// Whether the administrator must act.
    pub fn is_configuration(&self) -> bool {
        (self.dsn.subject, self.dsn.detail) == (3, 5)
    }

    /// Puts words in front of the reason.
    pub fn within(mut self, prefix: impl Display) -> Self {
        self.reason.insert_str(0, &format!("{prefix}"));
        self
    }

    /// Bounced or deferred.
    pub fn status(&self) -> Status {
        if self.dsn.class == 5 { Status::Bounced } else { Status::Deferred }
    }
}

/// What an error says for itself: a full mailbox bounces, a full disk is tried again.
fn code(error: &io::Error) -> Option<Dsn> {
    match Errno::from_io_error(error) {
        Some(Errno::FBIG) => Some(Dsn::new(5, 2, 2)),
        Some(Errno::DQUOT) => Some(Dsn::new(4, 2, 2)),
        Some(Errno::NOSPC) => Some(Dsn::new(4, 3, 0)),
        Some(Errno::AGAIN | Errno::STALE) => Some(Dsn::new(4, 2, 0)),
        _ => None,
    }
}

/// The system's words for an error, without Rust's number behind.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
