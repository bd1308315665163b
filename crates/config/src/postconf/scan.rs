//! What values refer to: names that are used, names that do not exist, and definitions that cannot be expanded.
//!
//! Postfix looks at master.cf first, then at main.cf, each time at the words before it expands them.

use super::Output;
use super::entry::{Entry, unbraced};
use super::model::Model;
use super::names::{self, RAW, READ_ONLY};
use crate::expand::{level, names_in};
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
    for (name, value) in &settings {
        if name == "smtpd_restriction_classes" {
            list(value).into_iter().for_each(|class| model.note_use(class, None));
        }
        if RAW.contains(&name.as_str()) || READ_ONLY.contains(&name.as_str()) {
            continue;
        }
        for reference in references(value, output) {
            if !exists(&reference, model) && !own.contains(&reference) {
                output.warn(&format!("{}: undefined parameter: {reference}", model.main_file));
            }
            model.note_use(reference, None);
        }
        if model.is_parameter(name) {
            let expanded = model.expand(value, None, output)?;
            tables(&expanded, "main.cf", model, output);
        }
    }
    Ok(())
}

fn exists(name: &str, model: &Model) -> bool {
    model.is_parameter(name) || model.main.contains_key(name) || names::is_old(name)
}

fn service_settings(model: &mut Model, service: &Entry, output: &mut Output) -> Result<(), String> {
    let settings: BTreeMap<&str, &str> = service.settings().collect();
    let definer = |name: &str| Some(service).filter(|_| settings.contains_key(name));
    for (name, value) in &settings {
        if *name == "smtpd_restriction_classes" {
            // A class that only main.cf defines is not looked for there.
            for class in list(value).into_iter().filter(|class| settings.contains_key(class.as_str())) {
                model.note_use(class, Some(service));
            }
        }
        if RAW.contains(name) {
            continue;
        }
        for reference in references(value, output) {
            let definer = definer(&reference);
            if definer.is_none() && !exists(&reference, model) {
                output.warn(&format!("{}: undefined parameter: {reference}", model.master_file));
            }
            model.note_use(reference, definer);
        }
        if model.is_parameter(name) {
            let expanded = model.expand(value, Some(service), output)?;
            tables(&expanded, &format!("master.cf:{}", service.key()), model, output);
        }
    }
    Ok(())
}

/// The names in a value; what is wrong with it is told once here and again where it is expanded, as Postfix does.
fn references(value: &str, output: &mut Output) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(fault) = names_in(value, &mut |name| found.push(name.to_owned())) {
        output.warn(&fault.postfix);
    }
    found
}

/// Tables whose parameters stand in main.cf count as uses of those; odd braces are told on the way.
fn tables(value: &str, file: &str, model: &mut Model, output: &mut Output) {
    for (_, word) in words(value, is_list_separator) {
        let word = unbraced(word, file, &mut |text| output.warn(&text));
        let used: Vec<String> = names::of_table(&word).filter(|name| model.main.contains_key(name)).collect();
        used.into_iter().for_each(|name| model.note_use(name, None));
    }
}
