//! What each service, parameter and table of a Postfix configuration is here.

use config::known::{self, Default, State};
use config::{Config, Error, Finding, Origin, ServiceLine, Severity};
use master::programs::{self, Place};
use std::path::Path;

/// How something behaves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As in Postfix.
    Same,
    /// Otherwise; the text says how.
    Differs,
    /// Not at all; the text says what to do, or what it comes with.
    Unsupported,
}

impl Verdict {
    /// The exit status where nothing is worse.
    pub fn status(self) -> u8 {
        self as u8
    }

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::Unsupported => "not supported",
        }
    }
}

/// One thing that stands in a configuration.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it stands; nothing for what the whole file lacks.
    pub origin: Option<Origin>,
    /// `service`, `parameter`, `table` or `line`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// How it behaves here.
    pub verdict: Verdict,
    /// What differs, or why; empty where nothing is to be said.
    pub text: String,
}

impl Item {
    fn of(kind: &'static str, error: &Error, verdict: Verdict) -> Item {
        let name = error.subject.clone().unwrap_or_else(|| "-".to_owned());
        Item { origin: error.origin.clone(), kind, name, verdict, text: error.text.clone() }
    }
}

/// Everything in a configuration, by file and line; the error is for a file that cannot be read.
pub fn survey(directory: &Path) -> Result<Vec<Item>, String> {
    let directory = std::path::absolute(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let (config, mistakes) = Config::survey(&directory).map_err(|e| e.to_string())?;
    let mut items: Vec<Item> = mistakes.iter().map(|e| Item::of("line", e, Verdict::Unsupported)).collect();
    items.extend(config.services().iter().map(service));
    let mut findings = config.check();
    let of_lines = master::columns::warnings(&config).into_iter();
    findings.extend(of_lines.map(|error| Finding { severity: Severity::Warning, error }));
    for (name, entry) in config.main().iter() {
        items.push(parameter(&config, None, name, &entry.origin, &mut findings));
    }
    for service in config.services() {
        for ((name, _), origin) in service.overrides.iter().zip(&service.override_origins) {
            items.push(parameter(&config, Some(service), name, origin, &mut findings));
        }
    }
    // What is said of no setting: defaults of old releases, lines that override others.
    items.extend(findings.iter().map(|f| Item::of("line", &f.error, Verdict::Differs)));
    items.extend(tables(&config)?);
    items.sort_by(|a, b| (&a.origin, a.kind, &a.name).cmp(&(&b.origin, b.kind, &b.name)));
    Ok(items)
}

fn service(line: &ServiceLine) -> Item {
    let (verdict, mut text) = match programs::find(&line.command) {
        Some(Place::Process) => (Verdict::Same, String::new()),
        Some(Place::Elsewhere(how)) => (Verdict::Differs, how.to_owned()),
        Some(Place::Nowhere(when)) => (Verdict::Unsupported, format!("not built yet: {when}")),
        None => {
            (Verdict::Unsupported, format!("expected one of Postfix's programs, found `{}`", line.command))
        }
    };
    if verdict == Verdict::Differs && line.chroot == Some(true) {
        text.push_str("; so its chroot column has no effect");
    }
    let name = format!("{}/{}", line.name, line.kind);
    Item { origin: Some(line.origin.clone()), kind: "service", name, verdict, text }
}

/// A setting; what was found about it is taken from `findings`.
fn parameter(
    config: &Config,
    service: Option<&ServiceLine>,
    name: &str,
    origin: &Origin,
    findings: &mut Vec<Finding>,
) -> Item {
    let subject = if service.is_some() { format!("-o {name}") } else { name.to_owned() };
    let item = |verdict, text| Item {
        origin: Some(origin.clone()),
        kind: "parameter",
        name: subject.clone(),
        verdict,
        text,
    };
    let about = |f: &Finding| {
        f.error.origin.as_ref() == Some(origin) && f.error.subject.as_deref() == Some(subject.as_str())
    };
    if let Some(at) = findings.iter().position(about) {
        let Finding { severity, error } = findings.remove(at);
        let missing = severity == Severity::Error || error.text.starts_with("not honoured yet");
        return item(if missing { Verdict::Unsupported } else { Verdict::Differs }, error.text);
    }
    match known::find(name).map(|known| known.state) {
        Some(State::NoMeaning(why)) if !is_default(config, service, name) => {
            item(Verdict::Differs, format!("has no effect: {why}"))
        }
        _ => item(Verdict::Same, String::new()),
    }
}

fn is_default(config: &Config, service: Option<&ServiceLine>, name: &str) -> bool {
    let scope = config.scope(service);
    let default = known::find(name).map(|known| known.default);
    let Some(Default::Text(default)) = default else { return false };
    scope.expanded(name).ok() == scope.expand(default).ok()
}

fn tables(config: &Config) -> Result<Vec<Item>, String> {
    let settings = tables::Settings::of(config).map_err(|e| e.to_string())?;
    let found = tables::survey(config, &settings).into_iter().map(|table| {
        let text = table.failure.map_or(String::new(), |error| {
            error.text.strip_prefix(&format!("{}: ", table.spec)).unwrap_or(&error.text).to_owned()
        });
        let verdict = if text.is_empty() { Verdict::Same } else { Verdict::Unsupported };
        Item { origin: Some(table.origin), kind: "table", name: table.spec, verdict, text }
    });
    Ok(found.collect())
}
