//! The command lines of postmap and postalias.

use super::Program;
use std::path::PathBuf;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Action {
    /// Make indexes of source files, or add entries from standard input (`incremental`).
    #[default]
    Build,
    /// Print the value of a key, of all keys on standard input for `-`.
    Ask(String),
    /// Delete a key, or those on standard input.
    Delete(String),
    /// Print all entries.
    List,
}

/// What happens to an entry whose key is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// It is left out with a warning.
    #[default]
    Warn,
    /// It is left out.
    Ignore,
    /// It takes the other's place.
    Replace,
}

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) action: Action,
    pub(super) directory: Option<PathBuf>,
    /// Whether keys are folded to lower case (off with `-f`).
    pub(super) fold: bool,
    /// Whether keys and values are bytes rather than UTF-8 (`-u`), whatever smtputf8_enable says.
    pub(super) bytes: bool,
    pub(super) incremental: bool,
    pub(super) duplicates: Duplicates,
    /// `-N` and `-n`: whether a zero byte ends keys and values; nothing leaves it to the type of the table.
    pub(super) zero: Option<bool>,
    /// Whether values are names of files whose content counts (`-F`).
    pub(super) files: bool,
    /// Whether keys are the headers of a message on standard input (`-h`).
    pub(super) headers: bool,
    /// Whether keys are the lines of its body (`-b`).
    pub(super) body: bool,
    /// Whether its structure counts (`-m`).
    pub(super) mime: bool,
    /// Whether the owner of the source owns the index (off with `-o`).
    pub(super) as_owner: bool,
    /// Whether the mode of the source is that of the index (off with `-p`).
    pub(super) keep_mode: bool,
    /// Whether answers are JSON (`-j`).
    pub(super) json: bool,
    pub(super) tables: Vec<String>,
    pub(super) warnings: Vec<String>,
}

const ONE_OF: &str = "fatal: specify only one of -s -q or -d";
const ONE_OF_OR: &str = "fatal: specify only one of -s or -q or -d";

/// Parses the words behind the program's name; the error is what to print.
pub(super) fn parse(program: Program, words: &[String]) -> Result<Options, Vec<String>> {
    let name = program.name();
    let (letters, listed) = match program {
        Program::Postmap => ("bfFhijmnNoprsuUvw", "bfFhijmnNoprsuUvw"),
        Program::Postalias => ("Nfijnoprsuvw", "Nfijnoprsuvw"),
    };
    let usage =
        format!("fatal: usage: {name} [-{listed}] [-c config_dir] [-d key] [-q key] [map_type:]file...");
    let mut options = Options::default();
    let (mut asked, mut deleted, mut listed) = (None, None, false);
    let mut words = words.iter();
    while let Some(word) = words.as_slice().first() {
        if word == "--" {
            words.next();
            break;
        }
        let Some(mut rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else { break };
        words.next();
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            if matches!(letter, 'c' | 'd' | 'q') {
                let value = match std::mem::take(&mut rest) {
                    "" => words.next().cloned(),
                    rest => Some(rest.to_owned()),
                };
                let Some(value) = value else {
                    return Err(vec![format!("option requires an argument -- '{letter}'"), usage]);
                };
                match letter {
                    'c' => options.directory = Some(value.into()),
                    _ if listed || asked.is_some() || deleted.is_some() => return Err(vec![ONE_OF.into()]),
                    'q' => asked = Some(value),
                    _ => deleted = Some(value),
                }
            } else if !letters.contains(letter) {
                return Err(vec![format!("invalid option -- '{letter}'"), usage]);
            } else if letter == 's' {
                if asked.is_some() || deleted.is_some() {
                    return Err(vec![ONE_OF_OR.into()]);
                }
                listed = true;
            } else {
                options.set(letter);
            }
        }
    }
    options.tables = words.cloned().collect();
    options.action = match (asked, deleted, listed) {
        (Some(key), _, _) => Action::Ask(key),
        (_, Some(key), _) => Action::Delete(key),
        (_, _, true) => Action::List,
        _ => Action::Build,
    };
    options.check(usage)?;
    Ok(options)
}

impl Default for Options {
    fn default() -> Self {
        Options {
            action: Action::default(),
            directory: None,
            fold: true,
            bytes: false,
            incremental: false,
            duplicates: Duplicates::default(),
            zero: None,
            files: false,
            headers: false,
            body: false,
            mime: false,
            as_owner: true,
            keep_mode: true,
            json: false,
            tables: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Options {
    fn set(&mut self, letter: char) {
        match letter {
            'N' => self.zero = Some(true),
            'n' => self.zero = Some(false),
            'f' => self.fold = false,
            'F' => self.files = true,
            'i' => self.incremental = true,
            'j' => self.json = true,
            'b' => self.body = true,
            'h' => self.headers = true,
            'm' => self.mime = true,
            'o' => self.as_owner = false,
            'p' => self.keep_mode = false,
            'r' => self.duplicates = Duplicates::Replace,
            'w' => self.duplicates = Duplicates::Ignore,
            'u' => self.bytes = true,
            // -U changes nothing in Postfix 3.7, be smtputf8_enable on or off; what -v would tell more is told anyway.
            _ => {}
        }
    }

    fn check(&mut self, usage: String) -> Result<(), Vec<String>> {
        let from_input = self.action == Action::Ask("-".to_owned());
        if (self.headers || self.body || self.mime) && !from_input {
            return Err(vec!["fatal: specify -b -h or -m only with \"-q -\"".into()]);
        }
        if self.mime && !self.headers && !self.body {
            self.warnings.push("ignoring -m option without -b or -h".into());
        }
        if self.json && !matches!(self.action, Action::Ask(_) | Action::List) {
            return Err(vec!["fatal: specify -j only with -s or -q".into()]);
        }
        if self.tables.is_empty() {
            return Err(vec![usage]);
        }
        Ok(())
    }
}
