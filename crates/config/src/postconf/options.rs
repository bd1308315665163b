//! The options of postconf, and which of them go together.

use super::Output;
use super::edit::split_nameval;
use super::print::Style;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What is to be shown, or the file that is to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Parameters of main.cf (`-p`).
    Parameters,
    /// Lines of master.cf (`-M`).
    Services,
    /// Columns of master.cf (`-F`).
    Fields,
    /// `-o` settings of master.cf (`-P`).
    ServiceParameters,
    /// Delivery reports (`-b` expanded, `-t` as they are).
    Templates { expanded: bool },
    /// A list of names (`-a -A -l -m -T`).
    List(char),
}

/// What an editing call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Set,
    Exclude,
    Comment,
}

/// Which parameters `-C` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    pub builtin: bool,
    pub service: bool,
    pub user: bool,
}

#[derive(Debug)]
pub(super) struct Options {
    pub directory: PathBuf,
    /// Whether `-c` was given: then config_directory is not the default.
    pub chosen: bool,
    pub mode: Mode,
    pub edit: Option<Edit>,
    pub defaults: bool,
    pub explicit: bool,
    pub quiet: bool,
    pub json: bool,
    pub classes: Classes,
    pub style: Style,
    pub overrides: Vec<(String, String)>,
    /// What `-T` asks for.
    pub topic: String,
    pub words: Vec<String>,
}

const USAGE: &str = "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] \
                     [-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] \
                     [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-j (JSON output)] \
                     [-l (lock types)] [-m (map types)] [-M (master.cf)] [-n (non-default parameters)] \
                     [-o name=value (override parameter value)] [-p (main.cf, default)] [-P (master.cf parameters)] \
                     [-q (quiet)] [-t (bounce templates)] \
                     [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] \
                     [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

/// The options that say what is shown; one at a time.
const MODES: &str = "aAbFlmMpPtT";
/// Those of the others that not every mode takes.
const FLAGS: &str = "defhHjnoxX#";
/// Flags that cannot stand together.
const EXCLUSIVE: [&str; 6] = ["denX#", "deoX#", "efX#", "ehHX#", "ejX#", "exX#"];

/// The flags that a mode does not take.
fn refused(mode: char) -> &'static str {
    match mode {
        'M' => "dhHn",
        'F' => "dnX#",
        'P' => "dn#",
        'p' => "",
        _ => "defhHjnoxX#",
    }
}

/// Reads the words of the command line; options end at the first word that is none.
pub(super) fn parse(directory: &Path, args: &[String], output: &mut Output) -> Result<Options, String> {
    let mut options = Options {
        directory: directory.to_owned(),
        chosen: false,
        mode: Mode::Parameters,
        edit: None,
        defaults: false,
        explicit: false,
        quiet: false,
        json: false,
        classes: Classes { builtin: true, service: true, user: true },
        style: Style::default(),
        overrides: Vec::new(),
        topic: String::new(),
        words: Vec::new(),
    };
    let mut given = letters(args, &mut options, output)?;
    if given.contains('b') && given.contains('t') {
        return Err("specify one of -b and -t".to_owned());
    }
    // `postconf name=value` edits without -e.
    let edits = options.words.first().is_some_and(|word| word.contains('='));
    let shows_files = !given.chars().any(|c| MODES.contains(c) && !"MFPp".contains(c));
    if edits && shows_files {
        given.push('e');
    }
    conflicts(&given)?;
    apply(&given, &mut options);
    Ok(options)
}

/// Takes the options from the words; the letters that were given are returned.
fn letters(args: &[String], options: &mut Options, output: &mut Output) -> Result<String, String> {
    let mut given = String::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.as_slice().first() {
        let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        rest.next();
        if letters == "-" {
            break;
        }
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            if "cCoT".contains(letter) {
                let argument = match letters.as_str() {
                    "" => rest.next().cloned(),
                    attached => Some(attached.to_owned()),
                };
                let Some(argument) = argument else {
                    complain(output, "option requires an argument", letter);
                    return Err(USAGE.to_owned());
                };
                with_argument(letter, argument, options)?;
                given.push(letter);
                break;
            }
            if !MODES.contains(letter) && !FLAGS.contains(letter) && !"qv".contains(letter) {
                complain(output, "invalid option", letter);
                return Err(USAGE.to_owned());
            }
            given.push(letter);
        }
    }
    options.words = rest.cloned().collect();
    Ok(given)
}

/// getopt's own message, which has no word for its gravity.
fn complain(output: &mut Output, text: &str, letter: char) {
    output.err.extend_from_slice(format!("postconf: {text} -- '{letter}'\n").as_bytes());
}

fn with_argument(letter: char, argument: String, options: &mut Options) -> Result<(), String> {
    match letter {
        'c' => {
            let bytes: Vec<u8> = super::bytes(&argument).collect();
            options.directory = std::ffi::OsString::from_vec(bytes).into();
            options.chosen = true;
        }
        'o' => {
            let (name, value) = split_nameval(&argument)
                .map_err(|text| format!("invalid parameter override: {argument}: {text}"))?;
            options.overrides.push((name.to_owned(), value.to_owned()));
        }
        'C' => options.classes = classes(&argument)?,
        _ => options.topic = argument,
    }
    Ok(())
}

fn classes(list: &str) -> Result<Classes, String> {
    let mut classes = Classes { builtin: false, service: false, user: false };
    for word in crate::words::list(list) {
        match word.to_ascii_lowercase().as_str() {
            "builtin" => classes.builtin = true,
            "service" => classes.service = true,
            "user" => classes.user = true,
            "all" => classes = Classes { builtin: true, service: true, user: true },
            _ => return Err(format!("unknown -C option value \"{word}\" in \"{list}\"")),
        }
    }
    Ok(classes)
}

fn conflicts(given: &str) -> Result<(), String> {
    let among = |letters: &str| -> Vec<char> { letters.chars().filter(|&c| given.contains(c)).collect() };
    let named = |letters: &[char]| letters.iter().map(|c| format!(" -{c}")).collect::<String>();
    let modes = among(MODES);
    if modes.len() > 1 {
        return Err(format!("specify one of{}", named(&modes)));
    }
    for group in EXCLUSIVE {
        let several: Vec<char> = among(group);
        if several.len() > 1 {
            return Err(format!("specify one of{}", named(&several)));
        }
    }
    if let [mode] = modes[..] {
        let refused: Vec<char> = among(FLAGS).into_iter().filter(|&c| refused(mode).contains(c)).collect();
        if !refused.is_empty() {
            return Err(format!("with option -{mode}, do not specify{}", named(&refused)));
        }
    }
    Ok(())
}

fn apply(given: &str, options: &mut Options) {
    let has = |letter: char| given.contains(letter);
    options.mode = match given.chars().find(|&c| MODES.contains(c)) {
        Some('M') => Mode::Services,
        Some('F') => Mode::Fields,
        Some('P') => Mode::ServiceParameters,
        Some('b') => Mode::Templates { expanded: true },
        Some('t') => Mode::Templates { expanded: false },
        None | Some('p') => Mode::Parameters,
        Some(list) => Mode::List(list),
    };
    let edits = [('e', Edit::Set), ('X', Edit::Exclude), ('#', Edit::Comment)];
    options.edit = edits.into_iter().find(|(letter, _)| has(*letter)).map(|(_, edit)| edit);
    (options.defaults, options.explicit) = (has('d'), has('n'));
    (options.quiet, options.json) = (has('q'), has('j'));
    options.style = Style { hide_names: has('h'), hide_values: has('H'), fold: has('f'), expand: has('x') };
}
