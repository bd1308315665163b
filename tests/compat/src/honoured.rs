//! The tests that prove parameters honoured: that they are there and set the parameter, and that they fail without it.
//!
//! `config::honoured` lists them. `check` reads their text; `prove` runs each twice on Posthaste alone, once with the
//! parameter forgotten (`POSTHASTE_FORGET`), and demands a difference.

use crate::{cases, comparable, difference};
use config::known::{self, Default};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::case::{self, CaseFile};
use testkit::play::{self, Transcript};

/// The variable that makes debug builds forget settings.
const FORGET: &str = "POSTHASTE_FORGET";

/// Worlds at once: most of a world's time is waiting.
const WORLDS: usize = 4;

/// Where a parameter is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A case of `tests/compat/cases`.
    Case {
        /// The file's name without `.case`.
        file: String,
        /// The case's name.
        case: String,
    },
    /// A Rust test.
    Rust {
        /// The package.
        package: String,
        /// The test's path as the harness prints it.
        path: String,
    },
}

impl Proof {
    /// Reads `compat FILE/CASE` or `CRATE PATH`.
    pub fn parse(text: &str) -> Result<Proof, String> {
        let (package, path) =
            text.split_once(' ').ok_or_else(|| format!("expected `CRATE TEST`, found `{text}`"))?;
        match (package, path.split_once('/')) {
            ("compat", Some((file, case))) => Ok(Proof::Case { file: file.into(), case: case.into() }),
            _ => Ok(Proof::Rust { package: package.into(), path: path.into() }),
        }
    }
}

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Whether the test exists and sets the parameter to something else than its default.
pub fn check(name: &str, test: &str) -> Result<(), String> {
    let text = match Proof::parse(test)? {
        Proof::Case { file, case } => {
            let text = cases::parse(&file)?;
            let Some(found) = text.cases.iter().find(|c| c.name == case) else {
                return Err(format!("{name}: {file}.case has no case {case}"));
            };
            let commands = found.actions.iter().filter_map(|action| match action {
                case::Action::Run(command) => Some(format!("{command}\n")),
                _ => None,
            });
            format!("{}{}{}", text.main_cf(), text.master_cf(), commands.collect::<String>())
        }
        Proof::Rust { package, path } => rust_text(&package, &path)?,
    };
    match settings_in(&text, name).any(|value| is_off_default(name, value)) {
        true => Ok(()),
        false => Err(format!("{name}: {test} does not set it off its default")),
    }
}

/// The values that a text gives a parameter in lines or options `name = value`.
fn settings_in<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let suffix = known::family_suffix(name);
    text.match_indices(suffix.unwrap_or(name)).filter_map(move |(at, found)| {
        let before = text[..at].chars().next_back();
        let whole = !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        let value = text[at + found.len()..].trim_start_matches(' ').strip_prefix('=')?;
        let is_it = match suffix {
            Some(_) => before == Some('_') && !text[..at].ends_with("default_"),
            None => whole,
        };
        is_it.then(|| value.split(['\n', '\\', '"', '\'']).next().unwrap_or_default().trim())
    })
}

fn is_off_default(name: &str, value: &str) -> bool {
    let default = match known::find(name).map(|k| k.default) {
        Some(Default::Text(text)) => text,
        Some(Default::Computed | Default::None) => return !value.is_empty(),
        None => config::parameters::find(name).map_or("", |p| p.default),
    };
    match value.strip_prefix(default) {
        // What follows an option on its line belongs to others.
        Some(rest) if !default.is_empty() => !rest.is_empty() && !rest.starts_with(' '),
        _ => value != default,
    }
}

/// The text of a Rust test's file, with the golden file and the support module that it uses.
pub(crate) fn rust_text(package: &str, path: &str) -> Result<String, String> {
    let root = root();
    let place = ["crates", "bin", "tests"].map(|d| root.join(d).join(package));
    let place = place.iter().find(|p| p.is_dir()).ok_or_else(|| format!("there is no package {package}"))?;
    let function = format!("fn {}(", path.rsplit("::").next().unwrap_or(path));
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        collect(&place.join(directory), &mut files);
    }
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
        let mut text = read(file)?;
        if !text.contains(&function) {
            continue;
        }
        let golden: Vec<PathBuf> =
            golden_files(place).into_iter().filter(|f| is_named_in(&text, f)).collect();
        for other in &golden {
            text += &read(other)?;
        }
        if text.contains("mod server;") {
            text += &read(&place.join("tests/server/mod.rs"))?;
        }
        // Settings stand in string literals.
        return Ok(text.replace("\\n", "\n"));
    }
    Err(format!("{package} has no test {path}"))
}

fn golden_files(place: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&place.join("golden"), &mut files);
    files
}

/// Whether a text names a file, or the directory that it lies in.
fn is_named_in(text: &str, file: &Path) -> bool {
    let quoted = |name: Option<&std::ffi::OsStr>| {
        name.is_some_and(|name| text.contains(&format!("{}\"", name.to_string_lossy())))
    };
    quoted(file.file_name()) || quoted(file.parent().and_then(Path::file_name))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Proves every parameter whose line in the list contains the filter; gives how many were proved, and what was not.
pub fn prove(filter: &str) -> (usize, Vec<String>) {
    let all: Vec<(&str, &str)> =
        config::honoured::all().filter(|(name, test)| format!("{name} {test}").contains(filter)).collect();
    let (cases, tests): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, test)| matches!(Proof::parse(test), Ok(Proof::Case { .. })));
    let (next, failed, proved) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    let usual = Mutex::new(HashMap::new());
    let note = |name: &str, test: &str, result: Result<(), String>| match result {
        Ok(()) => {
            proved.fetch_add(1, Ordering::Relaxed);
        }
        Err(why) => failed.lock().expect("no thread panics here").push(format!("{name}: {test}: {why}")),
    };
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                while let Some((name, test)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    note(name, test, prove_case(name, test, &usual));
                }
            });
        }
        let mut passed = HashMap::new();
        for (name, test) in &tests {
            note(name, test, prove_test(name, test, &mut passed));
        }
    });
    let mut failed = failed.into_inner().expect("the threads have ended");
    failed.sort();
    (proved.into_inner(), failed)
}

/// What cases bring forth with nothing forgotten.
type Usual = Mutex<HashMap<String, Transcript>>;

fn prove_case(name: &str, test: &str, usual: &Usual) -> Result<(), String> {
    let Proof::Case { file, case } = Proof::parse(test)? else { return Err("no case".into()) };
    let text = case::only(&cases::text(&file)?, &case);
    let parsed = CaseFile::parse(&text)?;
    let settings = parsed.cases.first().ok_or("there is no such case")?;
    let run = |variables: &[(&str, &str)]| {
        let all = play::outside_with("posthaste", &text, variables)?;
        all.into_iter().find(|t| t.case == case).ok_or_else(|| "it did not get to the case".to_owned())
    };
    let known = usual.lock().expect("no thread panics here").get(test).cloned();
    let with = match known {
        Some(known) => known,
        None => run(&[])?,
    };
    usual.lock().expect("no thread panics here").insert(test.to_owned(), with.clone());
    if let Some((_, why)) = with.lines.iter().find(|(part, _)| part == "failure") {
        return Err(format!("fails anyway: {why}"));
    }
    // Without the parameter it need not even start.
    let Ok(without) = run(&[(FORGET, name)]) else { return Ok(()) };
    let differs = !difference(&comparable(settings, &with, false)?, &comparable(settings, &without, false)?)
        .is_empty()
        || without.lines.iter().any(|(part, _)| part == "failure");
    if differs { Ok(()) } else { Err("is the same without the parameter".into()) }
}

fn prove_test(name: &str, test: &str, passed: &mut HashMap<String, bool>) -> Result<(), String> {
    let Proof::Rust { package, path } = Proof::parse(test)? else { return Err("no Rust test".into()) };
    let run = |forgotten: Option<&str>| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "-p", &package, "--", "--exact", &path]).current_dir(root());
        if let Some(name) = forgotten {
            command.env(FORGET, name);
        }
        let output = command.output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |end: &str| said.lines().any(|l| l == format!("test {path} ... {end}"));
        Ok::<_, String>((line("ok"), line("FAILED")))
    };
    if !passed.contains_key(test) {
        let (ok, _) = run(None)?;
        passed.insert(test.to_owned(), ok);
    }
    if !passed[test] {
        return Err("does not pass anyway".into());
    }
    match run(Some(name))? {
        (false, true) => Ok(()),
        _ => Err("passes without the parameter".into()),
    }
}
