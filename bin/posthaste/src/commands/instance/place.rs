//! Which instance a command is about: its configuration, its locks, its log.

use super::super::{Call, dry_run};
use config::parameters::{Global, Master};
use config::{Config, Errors};
use master::lock::LockPaths;
use master::{LogPlan, Plan};
use observe::{Destination, Settings, Tag};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// An instance as its commands see it.
pub(super) struct Instance {
    pub place: Place,
    /// All that a start needs; not read for commands that only end or ask for what runs.
    pub plan: Option<Plan>,
    pub tag: Tag,
    /// Whether all that is logged is on the terminal too.
    pub console: bool,
}

/// Where an instance is and how it logs.
pub struct Place {
    /// The directory of main.cf.
    pub directory: PathBuf,
    /// Its locks.
    pub locks: LockPaths,
    pub(super) log: LogPlan,
}

/// Reads the whole configuration, opens the log and runs `action`; a mistake in the configuration ends it before.
pub(super) fn with_instance(
    call: Call,
    always_console: bool,
    closed: Closed,
    action: impl FnOnce(&Instance) -> ExitCode,
) -> ExitCode {
    let read = config_directory(&call).and_then(|directory| load(&directory, closed));
    let plan = match read {
        Ok(plan) => plan,
        Err(text) => return refuse(&call, &text),
    };
    let place = Place {
        directory: plan.config_directory.clone(),
        locks: LockPaths::new(&plan.queue_directory, &plan.data_directory),
        log: plan.log.clone(),
    };
    run(place, Some(plan), always_console, Vec::new(), action)
}

/// The same for what must go on working while the configuration has mistakes: they are warnings here.
pub(super) fn with_place(
    call: Call,
    always_console: bool,
    action: impl FnOnce(&Instance) -> ExitCode,
) -> ExitCode {
    match config_directory(&call).and_then(|directory| find_place(&directory)) {
        Ok((place, mistakes)) => run(place, None, always_console, mistakes, action),
        Err(text) => refuse(&call, &text),
    }
}

fn refuse(call: &Call, text: &str) -> ExitCode {
    eprintln!("{text}");
    let consequence = match call.name {
        "reload" => ": nothing was changed, what runs goes on with its old configuration",
        _ => "",
    };
    eprintln!("posthaste {}: fatal: correct what stands above{consequence}", call.name);
    ExitCode::FAILURE
}

/// Where the instance of a configuration is, with the mistakes of main.cf.
pub fn find_place(directory: &Path) -> Result<(Place, Vec<String>), String> {
    let (config, mistakes) = Config::survey_main(directory).map_err(|e| e.to_string())?;
    let told = |why: &str| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        format!("{}\n{why}", lines.join("\n"))
    };
    // A line that is no setting may have been meant as queue_directory: its default is another instance's.
    let is_syntax = mistakes.iter().any(|e| e.subject.is_none());
    if is_syntax && config.main().get("queue_directory").is_none() {
        return Err(told(
            "queue_directory: cannot tell which one is meant while lines of main.cf are not understood",
        ));
    }
    let global = Global::read(&config, None).map_err(|e| told(&e.to_string()))?;
    let log = LogPlan::of(&config, &global).or_else(|e| {
        // Somewhere else than meant is better than not at all.
        let plain = Global { maillog_file: String::new(), syslog_facility: "mail".into(), ..global.clone() };
        LogPlan::of(&config, &plain).map_err(|_| told(&e.to_string()))
    })?;
    let locks = LockPaths::new(Path::new(&global.queue_directory), Path::new(&global.data_directory));
    let mistakes = mistakes.iter().map(ToString::to_string).collect();
    Ok((Place { directory: directory.into(), locks, log }, mistakes))
}

fn run(
    place: Place,
    plan: Option<Plan>,
    always_console: bool,
    warnings: Vec<String>,
    action: impl FnOnce(&Instance) -> ExitCode,
) -> ExitCode {
    let console = always_console || std::io::stderr().is_terminal();
    // Who may not write to the log may still ask for the status; the terminal then has it all.
    let quiet = Settings { destination: Destination::Nowhere, console: true };
    let started = observe::start(place.log.settings(None, console));
    let console = console || started.is_err();
    if started.is_err() && observe::start(quiet).is_err() {
        return ExitCode::FAILURE;
    }
    let tag = Tag::new(&place.log.syslog_name, "postfix-script", std::process::id());
    let instance = Instance { place, plan, tag, console };
    warnings.iter().for_each(|text| instance.warn(text));
    let code = action(&instance);
    observe::finish(Duration::from_secs(1));
    code
}

/// The directory that `-c` names, in front of the command or behind it.
pub fn config_directory(call: &Call) -> Result<PathBuf, String> {
    let mut directory = call.config_directory.clone();
    let mut rest = call.arguments.iter();
    while let Some(word) = rest.next() {
        match (word.as_str(), rest.next()) {
            ("-c", Some(given)) => directory = Some(given.into()),
            ("-c", None) => return Err("-c: expected a directory behind it".into()),
            _ => {
                let name = call.name;
                return Err(format!(
                    "expected -c DIRECTORY or nothing, found `{word}`; see `posthaste {name} --help`"
                ));
            }
        }
    }
    let directory = directory.unwrap_or_else(|| "/etc/postfix".into());
    let wrong = |found: String| {
        let shown = directory.display();
        format!(
            "configuration directory `{shown}`: expected a directory with main.cf and master.cf, found {found}; \
             -c DIRECTORY names another one"
        )
    };
    match std::fs::metadata(&directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(wrong("a file".into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(wrong("nothing there".into())),
        Err(e) => return Err(wrong(format!("no way there ({e})"))),
    }
    // Processes that we start have other working directories.
    std::path::absolute(&directory).map_err(|e| format!("{}: {e}", directory.display()))
}

/// What tables mean that cannot be opened as things stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// A warning: mail that needs them waits. For a start, where nothing serves yet.
    Warned,
    /// A mistake: what runs goes on with what it has.
    Refused,
}

/// The plan of the configuration in a directory; the error has one mistake a line.
pub fn load(directory: &Path, closed: Closed) -> Result<Plan, String> {
    load_as(directory, false, closed)
}

/// [`load`]; with `as_caller` all processes keep the caller's identity.
pub fn load_as(directory: &Path, as_caller: bool, closed: Closed) -> Result<Plan, String> {
    let (config, mut errors) = Config::survey(directory).map_err(|e| e.to_string())?;
    let mut plan = Plan::of(&config, as_caller).map_err(|e| errors.extend(e.into_vec())).ok();
    let fatal = Master::read(&config, None).is_ok_and(|master| master.daemon_table_open_error_is_fatal);
    let closed = if fatal { Closed::Refused } else { closed };
    match (dry_run::check(&config), &mut plan, closed) {
        (Ok((found, unopenable)), Some(plan), Closed::Warned) => {
            errors.extend(found);
            plan.warnings.extend(unopenable.iter().map(ToString::to_string));
        }
        (Ok((found, unopenable)), ..) => errors.extend(found.into_iter().chain(unopenable)),
        (Err(found), ..) => errors.extend(found.into_vec()),
    }
    Errors::check(errors).map_err(|e| e.to_string())?;
    plan.ok_or_else(|| "the configuration cannot be used".to_owned())
}
