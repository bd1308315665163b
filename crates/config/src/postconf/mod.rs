//! postconf(1): shows and edits main.cf, shows master.cf, with Postfix's options and output.

mod edit;
mod print;

use crate::config::Config;
use crate::host::Host;
pub use edit::replace as replace_file;
use print::Style;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a call of postconf prints, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit status.
    pub status: u8,
}

/// What is to be shown or done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Parameters,
    Services,
    Fields,
    ServiceParameters,
    Edit,
    Exclude,
    Comment,
}

#[derive(Debug, Default)]
struct Options {
    directory: PathBuf,
    /// Whether `-c` was given: then config_directory is not the default.
    chosen: bool,
    mode: Mode,
    defaults: bool,
    explicit: bool,
    quiet: bool,
    user_only: bool,
    style: Style,
    overrides: Vec<(String, String)>,
    words: Vec<String>,
}

/// Runs `postconf ARGS`; `directory` is the configuration where `-c` names none. The caller prints the output.
pub fn run(directory: &Path, args: &[String]) -> Output {
    let mut output = Output::default();
    if let Err(text) = try_run(directory, args, &mut output) {
        let _ = writeln!(output.err, "postconf: fatal: {text}");
        output.status = 1;
    }
    output
}

fn try_run(directory: &Path, args: &[String], output: &mut Output) -> Result<(), String> {
    let mut options = Options { directory: directory.to_owned(), ..Options::default() };
    parse(args, &mut options)?;
    if options.defaults && options.explicit {
        return Err("specify one of -d -n".to_owned());
    }
    if options.mode == Mode::Parameters && options.words.iter().any(|word| word.contains('=')) {
        options.mode = Mode::Edit;
    }
    if matches!(options.mode, Mode::Edit | Mode::Exclude | Mode::Comment) {
        return edit::run(&options, output);
    }
    let (config, warnings) = load(&options)?;
    match options.mode {
        Mode::Services => print::services(&config, &options, output),
        Mode::Fields => print::fields(&config, &options, output),
        Mode::ServiceParameters => print::service_parameters(&config, &options, output)?,
        _ => {
            if !options.quiet {
                output.err.push_str(&warnings);
            }
            print::parameters(&config, &options, output)?;
        }
    }
    Ok(())
}

/// The configuration, wrong lines and all; main.cf is not needed for defaults and services.
fn load(options: &Options) -> Result<(Config, String), String> {
    let read = |name: &str, needed: bool| {
        let path = options.directory.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) if !needed => Ok(String::new()),
            Err(error) => Err(format!("open {}: {error}", path.display())),
        }
    };
    let services = matches!(options.mode, Mode::Services | Mode::Fields | Mode::ServiceParameters);
    let main = if options.defaults { String::new() } else { read("main.cf", !services)? };
    let master = read("master.cf", services)?;
    let (mut config, errors) = Config::lenient(&options.directory, &main, &master, Host::this());
    if options.chosen && !options.defaults {
        config.set("config_directory", &options.directory.to_string_lossy());
    }
    for (name, value) in &options.overrides {
        config.set(name, value);
    }
    let lines =
        config.warnings().chain(&errors).map(|error| format!("postconf: warning: {error}\n")).collect();
    Ok((config, lines))
}

fn parse(args: &[String], options: &mut Options) -> Result<(), String> {
    let mut rest = args.iter();
    let mut edit_services = false;
    while let Some(arg) = rest.next() {
        let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            options.words.push(arg.clone());
            continue;
        };
        if letters == "-" {
            options.words.extend(rest.by_ref().cloned());
            break;
        }
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let mut argument = |what: &str| match letters.as_str() {
                "" => rest.next().cloned().ok_or_else(|| format!("-{letter} requires {what}")),
                attached => Ok(std::mem::take(&mut attached.to_owned())),
            };
            match letter {
                'c' => {
                    options.directory = argument("a directory")?.into();
                    options.chosen = true;
                    break;
                }
                'o' => {
                    let setting = argument("name=value")?;
                    options.overrides.push(edit::assignment(&setting)?);
                    break;
                }
                'C' => {
                    options.user_only = match argument("a class")?.as_str() {
                        "user" => true,
                        "all" | "builtin" | "service" => false,
                        class => {
                            return Err(format!(
                                "-C: expected all, builtin, service or user, found `{class}`"
                            ));
                        }
                    };
                    break;
                }
                'n' => options.explicit = true,
                'd' => options.defaults = true,
                'h' => options.style.hide_names = true,
                'H' => options.style.hide_values = true,
                'f' => options.style.fold = true,
                'x' => options.style.expand = true,
                'q' => options.quiet = true,
                'p' | 'v' => {}
                'e' => match options.mode {
                    Mode::Parameters => options.mode = Mode::Edit,
                    _ => edit_services = true,
                },
                'X' => options.mode = Mode::Exclude,
                '#' => options.mode = Mode::Comment,
                'M' => options.mode = Mode::Services,
                'F' => options.mode = Mode::Fields,
                'P' => options.mode = Mode::ServiceParameters,
                _ => return Err(format!("the option -{letter} is unknown or not built yet")),
            }
        }
    }
    let services = matches!(options.mode, Mode::Services | Mode::Fields | Mode::ServiceParameters);
    if services && (edit_services || options.words.iter().any(|word| word.contains('='))) {
        return Err("editing master.cf is not built yet; edit the file".to_owned());
    }
    if options.mode == Mode::Services && (options.style.hide_names || options.style.hide_values) {
        let letter = if options.style.hide_names { 'h' } else { 'H' };
        return Err(format!("with option -M, do not specify -{letter}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
