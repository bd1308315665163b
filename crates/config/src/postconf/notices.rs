//! What the administrator should know about settings: unused, to be removed, or with a comment in them.

use super::Output;
use super::model::Model;
use super::names::READ_ONLY;
use super::options::{Mode, Options};
use crate::lines::is_space;
use std::collections::BTreeMap;

/// Tells what is odd in the files that the call showed; nothing with `-q`.
pub(super) fn unused(model: &Model, options: &Options, output: &mut Output) {
    if options.quiet || options.defaults {
        return;
    }
    if options.mode == Mode::Parameters {
        for (name, value) in &model.main {
            if READ_ONLY.contains(&name.as_str()) {
                continue;
            }
            let is_used = model.is_effective(name, None);
            setting(&model.main_file, name, value, is_used, output);
        }
    }
    for service in &model.services {
        let settings: BTreeMap<&str, &str> = service.settings().collect();
        for (name, value) in settings {
            let is_used = model.is_effective(name, Some(service));
            setting(&model.master_file, name, value, is_used, output);
        }
    }
}

fn setting(file: &str, name: &str, value: &str, is_used: bool, output: &mut Output) {
    if !is_used {
        output.warn(&format!("{file}: unused parameter: {name}={value}"));
        return;
    }
    let instead = match crate::known::find(name).map_or("", |known| known.instead) {
        "" => None,
        "(empty)" => Some("do not specify (leave at default)".to_owned()),
        new => Some(format!("specify \"{new}\"")),
    };
    if let Some(instead) = instead {
        output.warn(&format!("{file}: support for parameter \"{name}\" will be removed; instead, {instead}"));
    }
    if value.split(is_space).any(|word| word.starts_with('#')) {
        output.warn(&format!("{file}: #comment after other text is part of the value: {name}={value}"));
    }
}
