//! postmap(1) and postalias(1): build, ask, list and change tables, with Postfix's options, output and statuses.

mod aliases;
mod ask;
mod base64;
mod build;
mod message;
mod options;
mod source;

use crate::index::Format;
use crate::{Parameter, Settings, kinds};
use config::Config;
use options::{Action, Options};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Which of the two programs is run; they differ in the source text and in how entries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `key value` lines.
    Postmap,
    /// `name: value, value` lines.
    Postalias,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Postmap => "postmap",
            Program::Postalias => "postalias",
        }
    }
}

/// What a program reads and writes.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

/// Why a program stops.
enum Stop {
    /// The text for standard error, behind `fatal:`.
    Fatal(String),
    /// Standard output is closed: nobody listens any more.
    Closed,
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Stop::Fatal(text)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Stop::Closed
    }
}

/// One call of a program.
struct Call<'a> {
    program: Program,
    options: Options,
    settings: Settings,
    streams: Streams<'a>,
    /// What tables warned of and was not shown yet.
    told: Arc<Mutex<Vec<String>>>,
}

/// Runs a program on the words behind its name; `directory` is the configuration where `-c` names none. The answer is
/// the exit status.
pub fn run(program: Program, directory: &Path, words: &[String], streams: Streams<'_>) -> u8 {
    let name = program.name();
    let options = match options::parse(program, words) {
        Ok(options) => options,
        Err(lines) => {
            for line in lines {
                let _ = writeln!(streams.err, "{name}: {line}");
            }
            return 1;
        }
    };
    for text in &options.warnings {
        let _ = writeln!(streams.err, "{name}: warning: {text}");
    }
    let directory = options.directory.as_deref().unwrap_or(directory);
    let settings = match settings(directory, options.bytes) {
        Ok(settings) => settings,
        Err(text) => {
            let _ = writeln!(streams.err, "{name}: fatal: {text}");
            return 1;
        }
    };
    let mut call = Call { program, options, settings, streams, told: Arc::default() };
    let done = call.run();
    let flushed = call.streams.out.flush();
    match done {
        Ok(true) if flushed.is_ok() => 0,
        Err(Stop::Fatal(text)) => {
            let _ = writeln!(call.streams.err, "{name}: fatal: {text}");
            1
        }
        _ => 1,
    }
}

/// What tables need of main.cf; a wrong value of another parameter is no matter here.
fn settings(directory: &Path, bytes: bool) -> Result<Settings, String> {
    let main = directory.join("main.cf");
    if let Err(error) = std::fs::File::open(&main) {
        return Err(format!("open {}: {}", main.display(), os_text(&error)));
    }
    let (config, _) = Config::survey_main(directory).map_err(|errors| errors.to_string())?;
    let on = config.text("smtputf8_enable").map_err(|error| error.to_string())? == "yes";
    let ports = config.ports().clone();
    let parameter: Parameter = Arc::new(move |name| config.text(name).ok());
    Ok(Settings {
        ports,
        utf8: on && !bytes,
        directory: None,
        follow_changes: false,
        parameter,
        ..Settings::default()
    })
}

impl Call<'_> {
    /// Whether what was asked for was there.
    fn run(&mut self) -> Result<bool, Stop> {
        let tables: Vec<String> =
            self.options.tables.iter().map(|table| self.with_type(table)).collect::<Result<_, _>>()?;
        match self.options.action.clone() {
            Action::Ask(key) => self.ask(&tables, &key),
            Action::Delete(key) => self.delete(&tables, &key),
            Action::List => self.list(&tables),
            Action::Build => {
                for table in &tables {
                    self.build(table)?;
                }
                Ok(true)
            }
        }
    }

    /// The table as `type:name`; a name alone has the type of `default_database_type`.
    fn with_type(&self, table: &str) -> Result<String, Stop> {
        let spec = match table.split_once(':') {
            // A colon behind a slash belongs to the name of a file.
            Some((kind, _)) if !kind.contains('/') => table.to_owned(),
            _ => format!("{}:{table}", self.parameter("default_database_type")),
        };
        let (kind, name) = spec.split_once(':').unwrap_or_default();
        if kind.is_empty() || name.is_empty() {
            return Err(format!("open dictionary: expecting \"type:name\" form instead of \"{spec}\"").into());
        }
        if !kinds::is_known(kind) {
            return Err(format!("unsupported dictionary type: {kind}").into());
        }
        Ok(spec)
    }

    fn parameter(&self, name: &str) -> String {
        (self.settings.parameter)(name).unwrap_or_default()
    }

    fn warn(&mut self, text: impl std::fmt::Display) {
        let _ = writeln!(self.streams.err, "{}: warning: {text}", self.program.name());
    }
}

/// The formats of a kind of table that has an index, the one that is written last; nothing for other kinds.
fn formats(kind: &str) -> Option<&'static [Format]> {
    Some(match kind {
        "hash" => &[Format::BerkeleyHash, Format::Own],
        "btree" => &[Format::BerkeleyBtree, Format::Own],
        "cdb" => &[Format::Cdb],
        "lmdb" => &[Format::Lmdb],
        _ => return None,
    })
}

/// The file that a table `type:name` is made of.
fn source_path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

/// The text of a system error without its number.
fn os_text(error: &io::Error) -> String {
    crate::index::without_number(error)
}
