//! What postconf shows: values of main.cf, services of master.cf.

use super::Output;
use super::edit_master::{Pattern, known_field};
use super::entry::{COMMAND, Entry, FIELDS};
use super::fold::{Line, PARAMETER_WIDTH};
use super::json;
use super::model::Model;
use super::names;
use super::options::Options;
use std::collections::{BTreeMap, BTreeSet};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub hide_names: bool,
    pub hide_values: bool,
    pub fold: bool,
    pub expand: bool,
}

/// What one blank is printed for; other white space is text.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl Style {
    /// `name = value`, white space in the value as one blank.
    fn line(self, name: &str, value: &str) -> String {
        let mut line = Line::new(self.fold.then_some(PARAMETER_WIDTH));
        let mut words =
            |text: &str| text.split(is_blank).filter(|w| !w.is_empty()).for_each(|w| line.word(w));
        if !self.hide_names || self.hide_values {
            words(name);
        }
        if !self.hide_names && !self.hide_values {
            words("=");
        }
        if !self.hide_values {
            words(value);
        }
        line.finish()
    }
}

/// `postconf [-d|-n] [NAME…]`.
pub(super) fn parameters(model: &Model, options: &Options, output: &mut Output) -> Result<(), String> {
    let names: Vec<String> = match options.words.is_empty() {
        true => shown(model, options).into_iter().collect(),
        false => options.words.clone(),
    };
    for name in &names {
        let exists =
            model.is_parameter(name) || (model.main.contains_key(name) && model.is_effective(name, None));
        let set = model.set_value(name).filter(|_| exists && !options.defaults);
        let value = match set {
            Some(value) => Some(value.clone()),
            None if options.explicit && exists => continue,
            None => model.default(name),
        };
        let Some(value) = value else {
            output.warn(&format!("{name}: unknown parameter"));
            continue;
        };
        let expands = options.style.expand && !names::RAW.contains(&name.as_str());
        let value = if expands { model.expand(&value, None, output)? } else { value };
        let text = match options.json {
            true => json::line(&[("name", name), ("value", &value)]),
            false => options.style.line(name, &value),
        };
        output.print(&text);
    }
    Ok(())
}

/// The names of a call that names none, sorted.
fn shown(model: &Model, options: &Options) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if options.classes.builtin {
        found.extend(names::builtin().into_iter().map(str::to_owned));
    }
    if options.classes.service {
        found.extend(model.of_services.keys().cloned());
    }
    if options.classes.user && !options.defaults {
        let own = |name: &&String| !model.is_parameter(name) && model.is_effective(name, None);
        found.extend(model.main.keys().filter(own).cloned());
    }
    if options.explicit {
        found.retain(|name| model.set_value(name).is_some());
    }
    found
}

/// The services of each word with the pattern; a word that nothing came of is told.
fn each(
    model: &Model,
    options: &Options,
    parts: usize,
    what: &str,
    output: &mut Output,
    mut print: impl FnMut(&Entry, &Pattern, &mut Output) -> Result<String, String>,
) -> Result<(), String> {
    let all = ["*".to_owned()];
    let words = if options.words.is_empty() { &all[..] } else { &options.words };
    for word in words {
        let pattern = Pattern::parse(word, 1, parts, what)?;
        let mut text = String::new();
        for service in model.services.iter().filter(|s| pattern.fits(&s.fields[0], &s.fields[1])) {
            text.push_str(&print(service, &pattern, output)?);
        }
        if text.is_empty() && !options.words.is_empty() {
            output.warn(&format!("unmatched request: \"{word}\""));
        }
        output.print(&text);
    }
    Ok(())
}

/// The service with the values of its settings expanded, where `-x` asks for that.
fn expanded(model: &Model, options: &Options, service: &Entry, output: &mut Output) -> Result<Entry, String> {
    let mut shown = service.clone();
    if options.style.expand {
        shown.map_settings(|value| model.expand(value, Some(service), output))?;
    }
    Ok(shown)
}

/// `postconf -M [NAME[/TYPE]…]`.
pub(super) fn services(model: &Model, options: &Options, output: &mut Output) -> Result<(), String> {
    let what = "-M option requires service_name[/type]";
    each(model, options, 2, what, output, |service, _, output| {
        let service = expanded(model, options, service, output)?;
        if !options.json {
            return Ok(service.line(options.style.fold));
        }
        let command = service.command("", false);
        let mut members: Vec<(&str, &str)> =
            FIELDS.iter().copied().zip(service.fields.iter().map(String::as_str)).collect();
        members.push((COMMAND, command.trim_end_matches('\n')));
        Ok(json::line(&members))
    })
}

/// `postconf -F [NAME[/TYPE[/FIELD]]…]`.
pub(super) fn fields(model: &Model, options: &Options, output: &mut Output) -> Result<(), String> {
    let what = "-F option requires service_name[/type[/field]]";
    each(model, options, 3, what, output, |service, pattern, output| {
        known_field(pattern.part(2).unwrap_or("*"))?;
        let service = expanded(model, options, service, output)?;
        let mut text = String::new();
        for (index, field) in FIELDS.into_iter().chain([COMMAND]).enumerate() {
            if !pattern.allows(2, field) {
                continue;
            }
            let name = format!("{}/{field}", service.key());
            let head = match options.style {
                Style { hide_values: true, .. } => name.clone(),
                Style { hide_names: true, .. } => String::new(),
                _ => format!("{name} = "),
            };
            let value = match service.fields.get(index) {
                Some(value) => format!("{value}\n"),
                None => service.command("", false),
            };
            text.push_str(&match options.json {
                true => {
                    let value = value.trim_end_matches('\n');
                    json::line(&[
                        ("service", &service.fields[0]),
                        ("type", &service.fields[1]),
                        ("name", field),
                        ("value", value),
                    ])
                }
                false if options.style.hide_values => head + "\n",
                false if index == FIELDS.len() => service.command(&head, options.style.fold),
                false => head + &value,
            });
        }
        Ok(text)
    })
}

/// `postconf -P [NAME[/TYPE[/PARAMETER]]…]`.
pub(super) fn service_parameters(
    model: &Model,
    options: &Options,
    output: &mut Output,
) -> Result<(), String> {
    let what = "-P option requires service_name[/type[/parameter]]";
    each(model, options, 3, what, output, |service, pattern, output| {
        let settings: BTreeMap<&str, &str> = service.settings().collect();
        let mut text = String::new();
        for (name, value) in settings.into_iter().filter(|(name, _)| pattern.allows(2, name)) {
            let value = match options.style.expand {
                true => model.expand(value, Some(service), output)?,
                false => value.to_owned(),
            };
            text.push_str(&match options.json {
                true => json::line(&[
                    ("service", &service.fields[0]),
                    ("type", &service.fields[1]),
                    ("name", name),
                    ("value", &value),
                ]),
                false => options.style.line(&format!("{}/{name}", service.key()), &value),
            });
        }
        Ok(text)
    })
}
