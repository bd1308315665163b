//! The commands that any user may run: sendmail, mailq, newaliases, postdrop, postqueue.
//!
//! They may be set-gid `postdrop`, so they link little: no tokio, no TLS, no tables.

mod addresses;
mod message;
mod newaliases;
mod options;
mod postdrop;
mod postqueue;
mod sendmail;
mod settings;
mod smtp;
mod tell;
#[cfg(test)]
mod tests;
mod users;

use std::ffi::OsString;
use std::io::{Read, Write};

/// sysexits.h: the service is unavailable.
const UNAVAILABLE: i32 = 69;
/// sysexits.h: try again later.
const TEMPFAIL: i32 = 75;

/// Names of the commands, as [`run`] takes them.
pub const COMMANDS: [&str; 5] = ["mailq", "newaliases", "postdrop", "postqueue", "sendmail"];

/// A command that did not do what it was asked to do.
#[derive(Debug)]
pub(crate) struct Failure {
    code: i32,
    text: String,
    /// The command in whose name it is told, where that is not the one that was called.
    by: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(code: i32, text: impl Into<String>) -> Self {
        Failure { code, text: text.into(), by: None }
    }

    pub(crate) fn by(self, command: &'static str) -> Self {
        Failure { by: Some(command), ..self }
    }
}

/// Runs one of [`COMMANDS`] with the arguments behind its name; gives the exit code.
pub fn run(command: &str, arguments: &[OsString], input: &mut dyn Read, out: &mut dyn Write) -> i32 {
    let done = match command {
        "sendmail" | "mailq" | "newaliases" => sendmail::run(command, arguments, input, out),
        "postqueue" => postqueue::run(arguments, out),
        "postdrop" => postdrop::run(arguments, input, out),
        _ => Err(Failure::new(64, format!("expected one of {}, found `{command}`", COMMANDS.join(", ")))),
    };
    match done {
        Ok(code) => code,
        Err(Failure { code, text, by }) => {
            let program = by.unwrap_or(command);
            // What goes before the last line is said as errors, as Postfix's commands do.
            let (errors, fatal) = text.rsplit_once('\n').map_or((None, text.as_str()), |(e, f)| (Some(e), f));
            for line in errors.into_iter().flat_map(str::lines) {
                tell::tell(program, &format!("error: {line}"));
            }
            tell::tell(program, &format!("fatal: {fatal}"));
            code
        }
    }
}
