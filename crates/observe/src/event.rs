//! One event: one log line and its counters.

use crate::buffer;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Who writes a line: what stands in front of `: text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `postfix/smtpd`: the service's syslog_name, a slash, and the program's name.
    pub program: Arc<str>,
    /// The number in brackets: belongs to one session or delivery while that is open (see [`crate::Numbers`]).
    pub number: u32,
}

impl Tag {
    /// The tag `SYSLOG_NAME/PROGRAM[NUMBER]`.
    pub fn new(syslog_name: &str, program: &str, number: u32) -> Self {
        Tag { program: format!("{syslog_name}/{program}").into(), number }
    }

    /// The tag of a command on the terminal, `PROGRAM[PID]` without a syslog_name.
    pub fn command(program: &str) -> Self {
        Tag { program: program.into(), number: std::process::id() }
    }

    /// The same program under another number.
    pub fn numbered(&self, number: u32) -> Self {
        Tag { program: Arc::clone(&self.program), number }
    }
}

/// How bad it is; also the word in front of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Normal: no word.
    #[default]
    Info,
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// `fatal: `
    Fatal,
    /// `panic: `
    Panic,
}

impl Level {
    /// The word in front of the text, with its colon and blank.
    pub const fn prefix(self) -> &'static str {
        match self {
            Level::Info => "",
            Level::Warning => "warning: ",
            Level::Error => "error: ",
            Level::Fatal => "fatal: ",
            Level::Panic => "panic: ",
        }
    }

    /// The severity of syslog(3).
    pub(crate) const fn severity(self) -> u8 {
        match self {
            Level::Info => 6,
            Level::Warning => 4,
            Level::Error => 3,
            Level::Fatal | Level::Panic => 2,
        }
    }
}

/// Something that happened.
///
/// Contract: `line` appends one line of text without level word and newline; control characters in it come out as
/// `?`, as in Postfix. Bytes of peers that may not be UTF-8 go through [`crate::Escaped`]. It must not emit.
pub trait Event {
    /// Appends the text of the log line.
    fn line(&self, out: &mut String);

    /// How bad it is.
    fn level(&self) -> Level {
        Level::Info
    }

    /// Adds to the counters that this event is counted by.
    fn count(&self) {}
}

/// A text that is its own event.
struct Text<'a>(Level, fmt::Arguments<'a>);

impl Event for Text<'_> {
    fn line(&self, out: &mut String) {
        // Writing to a String cannot fail; a Display that fails leaves a shorter line.
        let _ = fmt::write(out, self.1);
    }

    fn level(&self) -> Level {
        self.0
    }
}

thread_local! {
    /// The line being made; kept, so that a line costs no allocation.
    static SCRATCH: RefCell<String> = RefCell::new(String::with_capacity(512));
}

/// Counts and logs an event. Never waits for a disk or a socket: what does not fit is counted and reported later.
pub fn emit(tag: &Tag, event: &impl Event) {
    event.count();
    SCRATCH.with(|scratch| {
        // An event that emits in `line` would find the scratch taken: it gets a string of its own.
        match scratch.try_borrow_mut() {
            Ok(mut text) => {
                text.clear();
                event.line(&mut text);
                buffer::append(tag, event.level(), &text);
            }
            Err(_) => {
                let mut text = String::new();
                event.line(&mut text);
                buffer::append(tag, event.level(), &text);
            }
        }
    });
}

/// Logs a line without a level word.
pub fn info(tag: &Tag, text: fmt::Arguments<'_>) {
    emit(tag, &Text(Level::Info, text));
}

/// Logs `warning: TEXT`.
pub fn warn(tag: &Tag, text: fmt::Arguments<'_>) {
    emit(tag, &Text(Level::Warning, text));
}

/// Logs `error: TEXT`.
pub fn error(tag: &Tag, text: fmt::Arguments<'_>) {
    emit(tag, &Text(Level::Error, text));
}

/// Logs `fatal: TEXT`; ending the process is the caller's part.
pub fn fatal(tag: &Tag, text: fmt::Arguments<'_>) {
    emit(tag, &Text(Level::Fatal, text));
}

/// Logs `panic: TEXT`: a bug of ours was noticed.
pub fn panic(tag: &Tag, text: fmt::Arguments<'_>) {
    emit(tag, &Text(Level::Panic, text));
}
