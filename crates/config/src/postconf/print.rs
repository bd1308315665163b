//! What postconf shows: values of main.cf and services of master.cf.

use super::{Options, Output};
use crate::config::{Config, Scope};
use crate::known::{self, Default};
use crate::lines::is_space;
use crate::master_cf::ServiceLine;
use crate::parameters::Transport;
use crate::words;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Bytes of a line beyond which `-f` begins a new one.
const LINE_MAX: usize = 70;
const INDENT: usize = 4;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub hide_names: bool,
    pub hide_values: bool,
    pub fold: bool,
    pub expand: bool,
}

impl Style {
    /// `name = value`, white space in the value as one blank.
    fn line(self, name: &str, value: &str) -> String {
        let text = match self {
            Style { hide_values: true, .. } => name.to_owned(),
            Style { hide_names: true, .. } => value.to_owned(),
            _ => format!("{name} = {value}"),
        };
        let mut line = String::new();
        let mut width = 0;
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            if width > 0 && (!self.fold || width + word.len() < LINE_MAX) {
                line.push(' ');
                width += 1;
            } else if width > 0 {
                line.push('\n');
                line.push_str(&" ".repeat(INDENT));
                width = INDENT;
            }
            line.push_str(word);
            width += word.len();
        }
        line.push('\n');
        line
    }
}

/// `postconf [-d|-n] [NAME…]`.
pub(super) fn parameters(config: &Config, options: &Options, output: &mut Output) -> Result<(), String> {
    let names: Vec<String> = if !options.words.is_empty() {
        options.words.clone()
    } else {
        shown(config, options).into_iter().collect()
    };
    let scope = config.scope(None);
    for name in &names {
        let is_set = config.main().get(name).is_some();
        let value = match () {
            _ if options.defaults => default(&scope, name),
            _ if is_set && (is_parameter(config, name) || config.is_used(name)) => {
                config.main().get(name).map(|entry| entry.value.clone())
            }
            _ if options.explicit && is_parameter(config, name) => continue,
            _ => default(&scope, name),
        };
        let Some(value) = value else {
            let _ = writeln!(output.err, "postconf: warning: {name}: unknown parameter");
            continue;
        };
        let value = match options.style.expand {
            true => scope.expand(&value).map_err(|error| format!("{name}: {error}"))?,
            false => value,
        };
        output.out.push_str(&options.style.line(name, &value));
    }
    if !options.quiet {
        for (name, entry) in config.main().iter() {
            if !is_parameter(config, name) && !config.is_used(name) {
                let file = entry.origin.file.display();
                let value = &entry.value;
                let _ = writeln!(output.err, "postconf: warning: {file}: unused parameter: {name}={value}");
            }
        }
    }
    Ok(())
}

/// The names of a call that names none, sorted.
fn shown(config: &Config, options: &Options) -> BTreeSet<String> {
    let set = config.main().iter().map(|(name, _)| name.to_owned());
    let used = set.filter(|name| is_parameter(config, name) || config.is_used(name));
    if options.user_only {
        return used.filter(|name| !is_parameter(config, name)).collect();
    }
    if options.explicit {
        return used.collect();
    }
    let built_in = known::all().filter(|k| k.default != Default::None).map(|k| k.name.to_owned());
    let own = known::own().into_iter().map(str::to_owned);
    let mut names: BTreeSet<String> = built_in.chain(own).chain(service_names(config)).collect();
    if !options.defaults {
        names.extend(used);
    }
    names
}

/// `<transport>_…` of the delivery agents in master.cf.
fn service_names(config: &Config) -> Vec<String> {
    let mut names = Vec::new();
    for service in config.services() {
        if matches!(service.command.as_str(), "smtp" | "lmtp" | "local" | "virtual" | "pipe" | "error") {
            names.extend(Transport::PARAMETERS.iter().map(|p| format!("{}_{}", service.name, p.name)));
        }
        if matches!(service.command.as_str(), "pipe" | "spawn") {
            names.push(format!("{}_time_limit", service.name));
        }
    }
    names
}

fn is_parameter(config: &Config, name: &str) -> bool {
    known::find(name).is_some_and(|k| k.default != Default::None)
        || known::own().contains(&name)
        || service_names(config).iter().any(|n| n == name)
}

fn default(scope: &Scope<'_>, name: &str) -> Option<String> {
    match (name, known::find(name).map(|k| k.default)) {
        ("process_name", _) => return Some("postconf".to_owned()),
        ("config_directory", Some(Default::Text(text))) => return Some(text.to_owned()),
        _ => {}
    }
    if known::own().contains(&name) || known::find(name).is_some_and(|k| k.default != Default::None) {
        return scope.default(name).map(|value| value.into_owned());
    }
    let config = scope.config();
    if !service_names(config).iter().any(|n| n == name) {
        return None;
    }
    if name.ends_with("_time_limit") {
        return Some("$command_time_limit".to_owned());
    }
    crate::parameters::find(name).map(|p| p.default.to_owned())
}

/// Services that a word names: `NAME`, `NAME/TYPE`, with `*` for any; all without words.
fn chosen<'a>(config: &'a Config, word: &str) -> Vec<&'a ServiceLine> {
    let mut parts = word.split('/');
    let (name, kind) = (parts.next().unwrap_or("*"), parts.next().unwrap_or("*"));
    let fits = |pattern: &str, text: &str| pattern == "*" || pattern == text;
    config.services().iter().filter(|s| fits(name, &s.name) && fits(kind, s.kind.name())).collect()
}

/// Calls `print` for each service of each word; a word that fits none is told.
fn each(
    config: &Config,
    options: &Options,
    output: &mut Output,
    print: impl Fn(&ServiceLine, &str) -> String,
) {
    let all = ["*".to_owned()];
    let words = if options.words.is_empty() { &all[..] } else { &options.words };
    for word in words {
        let text: String = chosen(config, word).into_iter().map(|service| print(service, word)).collect();
        if text.is_empty() && !options.words.is_empty() {
            let _ = writeln!(output.err, "postconf: warning: unmatched request: \"{word}\"");
        }
        output.out.push_str(&text);
    }
}

/// `postconf -M [NAME[/TYPE]…]`.
pub(super) fn services(config: &Config, options: &Options, output: &mut Output) {
    each(config, options, output, |service, _| {
        let c = &service.columns;
        let mut line =
            format!("{:<10} {:<5} {:<7} {:<7} {:<7} {:<7} {:<7}", c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
        let mut words = command(service).into_iter();
        line.push(' ');
        line.push_str(&words.next().unwrap_or_default());
        let mut folded_rest = false;
        for word in words {
            let new_line = options.style.fold && (word.starts_with("-o ") || !folded_rest);
            folded_rest = !word.starts_with("-o ");
            line.push_str(if new_line { "\n    " } else { " " });
            line.push_str(&word);
        }
        line.push('\n');
        line
    });
}

/// Program and arguments; `-o` and its setting as one word, blanks at the insides of braces taken off.
fn command(service: &ServiceLine) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut setting = false;
    for (_, word) in words::words(&service.columns[7], is_space) {
        let word = match words::unbraced(word) {
            Some(inner) if setting => match inner.split_once('=') {
                Some((name, value)) => format!("{{{}={}}}", name.trim(), value.trim()),
                None => format!("{{{inner}}}"),
            },
            Some(inner) => format!("{{{inner}}}"),
            None => word.to_owned(),
        };
        match out.last_mut() {
            Some(option) if setting => {
                option.push(' ');
                option.push_str(&word);
            }
            _ => out.push(word.clone()),
        }
        // Options end at the first word that is none.
        let in_options = out[1..].iter().all(|w| w.starts_with('-'));
        setting = !setting && word == "-o" && in_options && out.len() > 1;
    }
    out
}

/// `postconf -F [NAME[/TYPE[/FIELD]]…]`.
pub(super) fn fields(config: &Config, options: &Options, output: &mut Output) {
    const NAMES: [&str; 8] =
        ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];
    each(config, options, output, |service, word| {
        let wanted = word.split('/').nth(2).unwrap_or("*");
        let mut text = String::new();
        for (index, field) in NAMES.iter().enumerate().filter(|(_, f)| wanted == "*" || wanted == **f) {
            let value = match index {
                7 => command(service).join(" "),
                index => service.columns[index].clone(),
            };
            let name = format!("{}/{}/{field}", service.name, service.kind);
            match options.style {
                Style { hide_values: true, .. } => text.push_str(&name),
                Style { hide_names: true, .. } => text.push_str(&value),
                _ => {
                    let _ = write!(text, "{name} = {value}");
                }
            }
            text.push('\n');
        }
        text
    });
}

/// `postconf -P [NAME[/TYPE[/PARAMETER]]…]`.
pub(super) fn service_parameters(
    config: &Config,
    options: &Options,
    output: &mut Output,
) -> Result<(), String> {
    // Expansion may fail; the first error is told, as everywhere.
    let failed = std::cell::RefCell::new(None);
    each(config, options, output, |service, word| {
        let wanted = word.split('/').nth(2).unwrap_or("*");
        let mut names: Vec<&str> = service.overrides.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut text = String::new();
        for name in names.into_iter().filter(|name| wanted == "*" || wanted == *name) {
            let raw = service.override_of(name).map_or("", |(value, _)| value);
            let value = match options.style.expand {
                true => config.scope(Some(service)).expand(raw).unwrap_or_else(|error| {
                    failed.borrow_mut().get_or_insert(format!("{name}: {error}"));
                    String::new()
                }),
                false => raw.to_owned(),
            };
            text.push_str(&options.style.line(&format!("{}/{}/{name}", service.name, service.kind), &value));
        }
        text
    });
    failed.into_inner().map_or(Ok(()), Err)
}
