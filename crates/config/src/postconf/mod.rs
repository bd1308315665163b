//! postconf(1): shows and edits main.cf and master.cf, with Postfix's options and output.
//!
//! Files and arguments are bytes, whatever their encoding: inside, each byte is the character of the same number, so
//! that what is not understood comes out as it went in.

mod edit;
mod edit_master;
mod entry;
mod file;
mod fold;
mod json;
mod lists;
mod model;
mod names;
mod notices;
mod options;
mod print;
mod scan;
mod templates;

use crate::octets::{bytes, text};
use crate::templates::Template;
use std::path::Path;

pub use file::replace as replace_file;

/// What a call of postconf prints, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub out: Vec<u8>,
    /// For standard error.
    pub err: Vec<u8>,
    /// The exit status.
    pub status: u8,
}

impl Output {
    fn print(&mut self, text: &str) {
        self.out.extend(bytes(text));
    }

    fn warn(&mut self, text: &str) {
        self.tell("warning", text);
    }

    /// A message; what is no printable ASCII is a `?`, as in Postfix's messages.
    fn tell(&mut self, kind: &str, text: &str) {
        let line = format!("postconf: {kind}: {text}");
        self.err.extend(line.chars().map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }));
        self.err.push(b'\n');
    }
}

/// What postconf shows of the program around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program<'a> {
    /// The types of lookup tables, for `-m`.
    pub table_types: &'a [&'a str],
    /// The texts of delivery reports, for `-b` and `-t`.
    pub templates: &'a [Template],
    /// Name and version of the TLS library, for `-T`; empty without one.
    pub tls_library: &'a str,
}

/// Runs `postconf ARGS`; `directory` is the configuration where `-c` names none. The caller prints the output.
pub fn run(directory: &Path, program: &Program<'_>, args: &[String]) -> Output {
    let mut output = Output::default();
    if let Err(text) = try_run(directory, program, args, &mut output) {
        // As Postfix: what was printed before stays in the buffer.
        output.out.clear();
        output.tell("fatal", &text);
        output.status = 1;
    }
    output
}

fn try_run(
    directory: &Path,
    program: &Program<'_>,
    args: &[String],
    output: &mut Output,
) -> Result<(), String> {
    use options::Mode;
    let args: Vec<String> = args.iter().map(|arg| text(arg.as_bytes())).collect();
    let options = options::parse(directory, &args, output)?;
    if options.edit.is_some() {
        return match options.mode {
            Mode::Parameters => edit::run(&options, output),
            _ => edit_master::run(&options, output),
        };
    }
    match options.mode {
        Mode::Parameters | Mode::Services | Mode::Fields | Mode::ServiceParameters => {
            let model = model::load(&options, output)?;
            match options.mode {
                Mode::Parameters => print::parameters(&model, &options, output)?,
                Mode::Services => print::services(&model, &options, output)?,
                Mode::Fields => print::fields(&model, &options, output)?,
                _ => print::service_parameters(&model, &options, output)?,
            }
            notices::unused(&model, &options, output);
            Ok(())
        }
        Mode::Templates { expanded } => {
            let model = model::load(&options, output)?;
            templates::run(&model, &options, expanded, program.templates, output)
        }
        Mode::List(list) => lists::run(&options, list, program, output),
    }
}

#[cfg(test)]
mod tests;
