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
#[cfg(test)]
mod tests;

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
}

impl Failure {
    pub(crate) fn new(code: i32, text: impl Into<String>) -> Self {
        Failure { code, text: text.into() }
    }
}

/// Runs one of [`COMMANDS`] with the arguments behind its name; gives the exit code.
pub fn run(command: &str, arguments: &[String], input: &mut dyn Read, out: &mut dyn Write) -> i32 {
    let done = match command {
        "sendmail" | "mailq" | "newaliases" => sendmail::run(command, arguments, input, out),
        "postqueue" => postqueue::run(arguments, out),
        "postdrop" => drop_message(arguments, input, out),
        _ => Err(Failure::new(64, format!("expected one of {}, found `{command}`", COMMANDS.join(", ")))),
    };
    match done {
        Ok(code) => code,
        Err(Failure { code, text }) => {
            // What goes before the last line is said as errors, as Postfix's commands do.
            let (errors, fatal) = text.rsplit_once('\n').map_or((None, text.as_str()), |(e, f)| (Some(e), f));
            errors.into_iter().flat_map(str::lines).for_each(|line| eprintln!("{command}: error: {line}"));
            eprintln!("{command}: fatal: {fatal}");
            code
        }
    }
}

fn drop_message(arguments: &[String], input: &mut dyn Read, out: &mut dyn Write) -> Result<i32, Failure> {
    let usage = || Failure::new(UNAVAILABLE, "usage: postdrop [-c config_dir] [-v]");
    let mut config = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-c" => config = Some(words.next().cloned().ok_or_else(usage)?),
            "-r" | "-v" => {}
            _ => return Err(usage()),
        }
    }
    let settings = settings::Settings::load(config.as_deref()).map_err(|t| Failure::new(UNAVAILABLE, t))?;
    let uid = rustix::process::getuid().as_raw();
    let id = postdrop::receive(&settings, input)
        .map_err(|refused| Failure::new(UNAVAILABLE, format!("uid={uid}: {refused}")))?;
    if let Err(e) = postdrop::trigger(&settings, "pickup", b"W") {
        eprintln!("postdrop: warning: unable to look up public/pickup: {}", settings::os_text(&e));
    }
    // Who called may have gone; the message is safe all the same.
    let _ = writeln!(out, "{id}");
    Ok(0)
}
