//! What values refer to: names that are used, names that do not exist, and definitions that cannot be expanded.
//!
//! Postfix looks at master.cf first, then at main.cf, each time at the words before it expands them.

use super::edit::split_nameval;
use super::entry::{Entry, unbraced};
use super::model::Model;
use super::names::{self, RAW, READ_ONLY};
use super::{Output, file};
use crate::expand::{level, names_in};
use crate::lines::logical_lines;
use crate::table_settings;
use crate::words::{is_list_separator, list, words};
use std::collections::{BTreeMap, BTreeSet};

/// Looks at all values; the error ends the command.
pub(super) fn run(model: &mut Model, output: &mut Output) -> Result<(), String> {
    check_level(model, output)?;
    let services = std::mem::take(&mut model.services);
    let result = services.iter().try_for_each(|service| service_settings(model, service, output));
    // Before what main.cf refers to is known, so that a name counts that a service defines for main.cf's value.
    let own: BTreeSet<String> = services
        .iter()
        .flat_map(|s| s.settings().map(|(name, _)| name.to_owned()).collect::<Vec<_>>())
        .collect();
    model.services = services;
    result?;
    check_host(model, output)?;
    main(model, &own, output)?;
    for name in READ_ONLY {
        if let Some(value) = model.main.get(name) {
            output.warn(&format!("{}: read-only parameter assignment: {name}={value}", model.main_file));
        }
    }
    Ok(())
}

/// The level that defaults depend on must be one.
fn check_level(model: &Model, output: &mut Output) -> Result<(), String> {
    if !model.main.contains_key("compatibility_level") {
        return Ok(());
    }
    let text = model.expand("$compatibility_level", None, output)?;
    level(&text).map(|_| ()).map_err(|_| {
        output.warn(&format!("malformed compatibility level syntax: \"{text}\""));
        "macro processing error".to_owned()
    })
}

/// Values that every program of Postfix needs at once.
fn check_host(model: &Model, output: &mut Output) -> Result<(), String> {
    let protocols = model.expand("$inet_protocols", None, output)?;
    if let Some(word) =
        list(&protocols).iter().find(|w| !["all", "ipv4", "ipv6"].contains(&w.to_lowercase().as_str()))
    {
        return Err(format!("unknown inet_protocols value \"{word}\" in \"{protocols}\""));
    }
    let style = model.expand("$mynetworks_style", None, output)?;
    let styles = list(&style);
    if let Some(word) =
        styles.iter().find(|w| !["class", "subnet", "host"].contains(&w.to_lowercase().as_str()))
    {
        return Err(format!("unknown mynetworks mask style value \"{word}\" in \"{style}\""));
    }
    if styles.len() != 1 {
        return Err(format!("bad mynetworks_style value: {style}; specify exactly one value"));
    }
    Ok(())
}

fn main(model: &mut Model, own: &BTreeSet<String>, output: &mut Output) -> Result<(), String> {
    let settings: Vec<(String, String)> = model.main.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    for (name, value) in settings.iter().filter(|(name, _)| !READ_ONLY.contains(&name.as_str())) {
        let place = Place { service: None, own, file: model.main_file.clone(), label: "main.cf".to_owned() };
        setting(name, value, &place, model, output)?;
    }
    Ok(())
}

fn service_settings(model: &mut Model, service: &Entry, output: &mut Output) -> Result<(), String> {
    let settings: BTreeMap<&str, &str> = service.settings().collect();
    let own = settings.keys().map(|name| (*name).to_owned()).collect();
    let (file, label) = (model.master_file.clone(), format!("master.cf:{}", service.key()));
    let place = Place { service: Some(service), own: &own, file, label };
    settings.iter().try_for_each(|(name, value)| setting(name, value, &place, model, output))
}

/// Where a setting stands.
struct Place<'a> {
    service: Option<&'a Entry>,
    /// Names that need no definition in main.cf.
    own: &'a BTreeSet<String>,
    /// The file in messages about names.
    file: String,
    /// The place in messages about braces.
    label: String,
}

/// Looks at one setting: the names that it refers to, whether it can be expanded, and what it then names.
fn setting(
    name: &str,
    value: &str,
    place: &Place<'_>,
    model: &mut Model,
    output: &mut Output,
) -> Result<(), String> {
    if RAW.contains(&name) {
        return Ok(());
    }
    note(references(value, output), place, model, output);
    if model.is_parameter(name) {
        let expanded = model.expand(value, place.service, output)?;
        tables(&expanded, place, model, output);
        if name == "smtpd_restriction_classes" {
            let classes = expanded.split(is_list_separator).filter(|class| !class.is_empty());
            note(classes.map(str::to_owned).collect(), place, model, output);
        }
    }
    Ok(())
}

/// Notes uses of names, and tells which of them do not exist.
fn note(names: Vec<String>, place: &Place<'_>, model: &mut Model, output: &mut Output) {
    for name in names {
        let exists = model.is_parameter(&name) || model.main.contains_key(&name) || names::is_old(&name);
        if !exists && !place.own.contains(&name) {
            output.warn(&format!("{}: undefined parameter: {name}", place.file));
        }
        model.note_use(name, place.service);
    }
}

/// The names in a value; what is wrong with it is told once here and again where it is expanded, as Postfix does.
fn references(value: &str, output: &mut Output) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(fault) = names_in(value, &mut |name| found.push(name.to_owned())) {
        output.warn(&fault.postfix);
    }
    found
}

/// Tables whose parameters stand beside them count as uses of those; odd braces are told on the way.
fn tables(value: &str, place: &Place<'_>, model: &mut Model, output: &mut Output) {
    let mut warn = |text: String| output.warn(&text);
    for (_, word) in words(value, is_list_separator) {
        let word = unbraced(word, &place.label, &mut warn);
        if let Some((_, name)) = word.split_once(':') {
            // `inline:{…}` and its kind; the tables' own reader tells what is wrong inside.
            unbraced(name, &place.label, &mut warn);
        }
        for name in names::of_table(&word) {
            model.note_use(name, place.service);
        }
        if let Some((kind, path)) = names::file_of_table(&word) {
            settings_of_table(kind, path, &mut warn);
        }
    }
}

/// Tells what is odd in a file of a table's settings.
fn settings_of_table(kind: &str, path: &str, warn: &mut impl FnMut(String)) {
    let text = match file::of_table(path) {
        Ok(text) => text,
        Err(why) => return warn(format!("open \"{kind}\" configuration \"{path}\": {why}")),
    };
    for line in logical_lines(&text).lines {
        let Ok((name, value)) = split_nameval(&line.text) else { continue };
        if !table_settings::of_kind(kind).any(|known| known == name) {
            warn(format!("{kind}:{path}: unused parameter: {name}={value}"));
        }
    }
}
