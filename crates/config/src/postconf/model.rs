//! main.cf and master.cf as postconf sees them: everything that is there, wrong or not.

use super::edit::split_nameval;
use super::entry::Entry;
use super::options::{Mode, Options};
use super::{Output, file, names, scan};
use crate::config::Config;
use crate::expand::{self, Names};
use crate::host::Host;
use crate::known::{self, Default};
use crate::lines::{Oddity, logical_lines};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What the files and the command line hold.
pub(super) struct Model {
    /// Names of the files in messages.
    pub main_file: String,
    pub master_file: String,
    /// Settings by name: main.cf, with those of `-o` in their place.
    pub main: BTreeMap<String, String>,
    pub services: Vec<Entry>,
    /// Parameters that services bring along, with their defaults.
    pub of_services: BTreeMap<String, String>,
    /// Names that some value of main.cf uses, and names of main.cf that a service uses.
    used: BTreeSet<String>,
    /// Names that a service, by its key, both defines and uses.
    used_inside: BTreeSet<(String, String)>,
    /// Where the defaults come from.
    config: Config,
}

/// Reads what the options ask for, and tells what is odd in it.
pub(super) fn load(options: &Options, output: &mut Output) -> Result<Model, String> {
    let mut main = BTreeMap::new();
    let shows_services = options.mode != Mode::Parameters;
    let early = if shows_services { Some(read_master(options, output)?) } else { None };
    if !options.defaults {
        if options.chosen {
            main.insert("config_directory".to_owned(), file::shown(&options.directory));
        }
        read_main(options, &mut main, output)?;
    }
    let services = early.map_or_else(|| read_master(options, output), Ok)?;
    main.extend(options.overrides.iter().cloned());
    // The configuration that defaults are worked out in has no files of its own.
    let (mut config, _) = Config::lenient(&options.directory, "", "", Host::this());
    main.iter().for_each(|(name, value)| config.set(name, value));
    let mut model = Model {
        main_file: file::shown(&options.directory.join("main.cf")),
        master_file: file::shown(&options.directory.join("master.cf")),
        of_services: names::of_services(&services),
        main,
        services,
        used: BTreeSet::new(),
        used_inside: BTreeSet::new(),
        config,
    };
    if !options.defaults {
        scan::run(&mut model, output)?;
    }
    Ok(model)
}

/// Reads main.cf for those who only need that it can be read.
pub(super) fn check_main(options: &Options, output: &mut Output) -> Result<(), String> {
    read_main(options, &mut BTreeMap::new(), output)
}

fn read_main(
    options: &Options,
    main: &mut BTreeMap<String, String>,
    output: &mut Output,
) -> Result<(), String> {
    let path = options.directory.join("main.cf");
    let text = file::read(&path)?.ok_or_else(|| file::missing(&path))?;
    let name = file::shown(&path);
    for (line, text) in read_lines(&text, &name, output) {
        let place = format!("{name}, line {line}");
        let (parameter, value) =
            split_nameval(&text).map_err(|what| format!("{place}: {what}: \"{text}\""))?;
        let old = main.insert(parameter.to_owned(), value.to_owned());
        if let Some(old) = old.filter(|old| *old != value) {
            output.warn(&format!("{place}: overriding earlier entry: {parameter}={old}"));
        }
    }
    Ok(())
}

/// The logical lines with their numbers; what is odd about them is told.
fn read_lines(text: &str, file: &str, output: &mut Output) -> Vec<(u32, String)> {
    let lines = logical_lines(text);
    for (number, odd) in &lines.odd {
        // Postfix says nothing about white space at the end of lines.
        if *odd != Oddity::CarriageReturn {
            output.warn(&format!("{file}, line {number}: {odd}"));
        }
    }
    for number in &lines.stray {
        let physical = text.split('\n').nth(*number as usize - 1).unwrap_or_default();
        let physical = physical.trim_end_matches(crate::lines::is_space);
        output.warn(&format!("{file}: logical line must not start with whitespace: \"{physical}\""));
    }
    lines.lines.into_iter().map(|line| (line.line(), line.text)).collect()
}

fn read_master(options: &Options, output: &mut Output) -> Result<Vec<Entry>, String> {
    let path = options.directory.join("master.cf");
    let text = match file::read(&path)? {
        Some(text) => text,
        None if options.mode == Mode::Parameters => {
            output.warn(&file::missing(&path));
            return Ok(Vec::new());
        }
        None if matches!(options.mode, Mode::Templates { .. }) => return Ok(Vec::new()),
        None => return Err(file::missing(&path)),
    };
    let name = file::shown(&path);
    let mut services = Vec::new();
    for (number, line) in read_lines(&text, &name, output) {
        let place = || format!("file {name}: line {number}: bad field count");
        services.push(Entry::parse(&line, &place, &mut |text| output.warn(&text)).map_err(|bad| bad.0)?);
    }
    Ok(services)
}

impl Model {
    /// Whether a parameter of this name exists, set or not.
    pub fn is_parameter(&self, name: &str) -> bool {
        names::is_builtin(name) || self.of_services.contains_key(name)
    }

    /// Notes that a value of main.cf uses a name, or one of a service.
    pub fn note_use(&mut self, name: String, service: Option<&Entry>) {
        match service {
            Some(service) if service.settings().any(|(own, _)| own == name) => {
                self.used_inside.insert((service.key(), name));
            }
            // What main.cf does not define, it does not define for other services either.
            Some(_) if !self.main.contains_key(&name) => {}
            _ => {
                self.used.insert(name);
            }
        }
    }

    /// Whether a setting of main.cf has an effect, or one of a service.
    pub fn is_effective(&self, name: &str, service: Option<&Entry>) -> bool {
        let inside = |service: &Entry| self.used_inside.contains(&(service.key(), name.to_owned()));
        service.is_some_and(inside)
            || self.used.contains(name)
            || self.is_parameter(name)
            || names::is_old(name)
    }

    /// The default of a parameter, unexpanded.
    pub fn default(&self, name: &str) -> Option<String> {
        match (name, known::find(name).map(|k| k.default)) {
            ("process_name", _) => return Some("postconf".to_owned()),
            ("config_directory", Some(Default::Text(text))) => return Some(text.to_owned()),
            _ => {}
        }
        if names::is_builtin(name) {
            return self.config.scope(None).default(name).map(Cow::into_owned);
        }
        self.of_services.get(name).cloned()
    }

    /// The value of a parameter that somebody set and may set.
    pub fn set_value(&self, name: &str) -> Option<&String> {
        self.main.get(name).filter(|_| !names::READ_ONLY.contains(&name))
    }

    /// Expands a value as `service` sees it; what is wrong is told.
    pub fn expand(
        &self,
        value: &str,
        service: Option<&Entry>,
        output: &mut Output,
    ) -> Result<String, String> {
        expand::try_expand(value, &View { model: self, service }).map_err(|fault| {
            output.warn(&fault.postfix);
            "macro processing error".to_owned()
        })
    }
}

/// The names that a service sees.
pub(super) struct View<'a> {
    pub model: &'a Model,
    pub service: Option<&'a Entry>,
}

impl Names for View<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(service) = self.service {
            if let Some((_, value)) = service.settings().filter(|(n, _)| *n == name).last() {
                return Some(Cow::Owned(value.to_owned()));
            }
            match name {
                "service_name" => return Some(Cow::Borrowed(&service.fields[0])),
                "process_name" => return Some(Cow::Borrowed(&service.args[0].text)),
                _ => {}
            }
        }
        let set = self.model.set_value(name).map(|value| Cow::Borrowed(value.as_str()));
        set.or_else(|| self.model.default(name).map(Cow::Owned))
    }
}
