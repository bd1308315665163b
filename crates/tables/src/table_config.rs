//! The settings of one table that asks a server: a file in the form of main.cf, or `name_hosts`, … in main.cf itself.
//!
//! Postfix: mysql_table(5) and its kin. Values in the file stand as they are written, `$` included. What is wrong is
//! collected, each mistake with its place, so that the administrator sees all of a file at once; a setting that no
//! table of the kind has is named in a warning, since it is a typing mistake more often than not.

use crate::expansion::Expansion;
use crate::table::{Settings, TableError};
use crate::watched;
use config::kinds::{self, Kind, Limits};
use config::{Error, MainCf, table_settings, words};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The settings of the table, read one by one; [`TableConfig::finish`] tells all that is wrong.
pub(crate) struct TableConfig<'a> {
    spec: &'a str,
    kind: &'static str,
    settings: &'a Settings,
    place: Place,
    errors: Vec<Error>,
}

enum Place {
    File(Arc<Path>, MainCf),
    /// The settings of main.cf that start with this name and `_`.
    MainCf(String),
}

impl<'a> TableConfig<'a> {
    /// Reads the settings of a table `name` of this type: from a file where the name starts with `/` or `.`, from main.cf elsewhere.
    pub(crate) fn open(
        kind: &'static str,
        name: &str,
        spec: &'a str,
        settings: &'a Settings,
    ) -> Result<TableConfig<'a>, TableError> {
        let mut errors = Vec::new();
        let place = if name.starts_with(['/', '.']) {
            let path = settings.path(name);
            let text = watched::text(&path).map_err(|error| {
                TableError::new(spec, format!("{} cannot be read: {error}", path.display()))
            })?;
            let file: Arc<Path> = path.into();
            let parsed = MainCf::parse(&file, &text, &mut errors);
            for warning in parsed.warnings() {
                let mut warning = warning.clone();
                // The reader's own text quotes the value, which may be a password.
                if warning.subject.is_some() {
                    warning.text = "is set twice; the last one counts".to_owned();
                }
                (settings.warn)(&format!("{spec}: {warning}"));
            }
            Place::File(file, parsed)
        } else if name.is_empty() {
            return Err(TableError::new(spec, "expected a file name, or the name of settings in main.cf"));
        } else {
            Place::MainCf(name.to_owned())
        };
        Ok(TableConfig { spec, kind, settings, place, errors })
    }

    /// `type:name` as it was written.
    pub(crate) fn spec(&self) -> &'a str {
        self.spec
    }

    /// What tables need to know of their surroundings.
    pub(crate) fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The value of a setting; nothing where it is not set. An empty value is a value.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        assert!(self.has(name), "{} tables have `{name}` among their settings", self.kind);
        match &self.place {
            Place::File(_, file) => file.get(name).map(|entry| entry.value.clone()),
            Place::MainCf(table) => (self.settings.parameter)(&format!("{table}_{name}")),
        }
    }

    /// The value of a setting that must be there and not be empty.
    pub(crate) fn required(&mut self, name: &'static str, expected: &str) -> String {
        let value = self.text(name).unwrap_or_default();
        if value.is_empty() {
            self.wrong(name, format!("expected {expected}, found nothing"));
        }
        value
    }

    /// The value as a list of words; empty where it is not set.
    pub(crate) fn list(&mut self, name: &'static str) -> Vec<String> {
        words::list(&self.text(name).unwrap_or_default())
    }

    /// `yes` or `no`.
    pub(crate) fn yes_no(&mut self, name: &'static str, default: bool) -> bool {
        self.read::<kinds::Bool>(name, &Limits::default()).unwrap_or(default)
    }

    /// A time; without a unit it is in seconds.
    pub(crate) fn seconds(&mut self, name: &'static str, default: Duration) -> Duration {
        self.read::<kinds::Duration>(name, &Limits { default: "1s", ..Limits::default() }).unwrap_or(default)
    }

    /// A number that may be negative.
    pub(crate) fn number(&mut self, name: &'static str, default: i32) -> i32 {
        let Some(value) = self.text(name) else { return default };
        value.parse().unwrap_or_else(|_| {
            self.wrong(name, format!("expected a number up to {}, found `{value}`", i32::MAX));
            default
        })
    }

    /// Whether tables of this type have such a setting.
    fn has(&self, name: &str) -> bool {
        table_settings::of_kind(self.kind).any(|known| known == name)
    }

    fn read<K: Kind>(&mut self, name: &'static str, limits: &Limits) -> Option<K::Value> {
        let value = self.text(name)?;
        K::read(&value, limits).map_err(|text| self.wrong(name, text)).ok()
    }

    /// `result_format`, `domain` and `expansion_limit`; nothing where they are wrong, which is noted.
    pub(crate) fn expansion(&mut self) -> Option<Expansion> {
        let format = self.text("result_format").unwrap_or_else(|| "%s".to_owned());
        let domain = self.list("domain");
        let limit = self.number("expansion_limit", 0);
        match Expansion::new(&format, &domain, limit, self.settings) {
            Ok(expansion) => Some(expansion),
            Err(errors) => {
                errors.into_iter().for_each(|(name, text)| self.wrong(name, text));
                None
            }
        }
    }

    /// Notes that the value of a setting is wrong: what was expected, and what was found. Secrets are not quoted.
    pub(crate) fn wrong(&mut self, name: &str, text: impl Into<String>) {
        self.errors.push(self.error(name, text.into()));
    }

    /// Warns about the value of a setting that can be used nevertheless.
    pub(crate) fn warn(&self, name: &str, text: impl Into<String>) {
        (self.settings.warn)(&format!("{}: {}", self.spec, self.error(name, text.into())));
    }

    fn error(&self, name: &str, text: String) -> Error {
        match &self.place {
            Place::MainCf(table) => Error::new(None, format!("{table}_{name}"), text),
            Place::File(file, parsed) => match parsed.get(name) {
                Some(entry) => Error::new(Some(entry.origin.clone()), name, text),
                None => Error::new(None, format!("{}: {name}", file.display()), text),
            },
        }
    }

    /// Tells all mistakes, and warns about settings that no table of the type has.
    pub(crate) fn finish(mut self) -> Result<(), TableError> {
        if let Place::File(_, file) = &self.place {
            for (name, _) in file.iter().filter(|(name, _)| !self.has(name)) {
                self.warn(name, "tables of this type have no such setting; it is ignored");
            }
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort();
        let texts: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        Err(TableError::new(self.spec, texts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Settings whose warnings can be read, and whose main.cf has `db_hosts`.
    fn settings() -> (Settings, Arc<Mutex<Vec<String>>>) {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let settings = Settings {
            warn: Arc::new(move |text| sink.lock().unwrap().push(text.to_owned())),
            parameter: Arc::new(|name| (name == "db_hosts").then(|| "a, b".to_owned())),
            ..Settings::default()
        };
        (settings, warnings)
    }

    fn with_file<T>(text: &str, test: impl FnOnce(&str) -> T) -> T {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("table-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let result = test(&path.to_string_lossy());
        std::fs::remove_file(&path).unwrap();
        result
    }

    #[test]
    fn values_of_a_file_stand_as_they_are_written() {
        let (settings, warnings) = settings();
        with_file(
            "# c\nhosts = a $b,\n  c\nquery = select '%s'\nidle_interval = 2m\nrequire_result_set = no\n",
            |path| {
                let mut config = TableConfig::open("mysql", path, "mysql:f", &settings).unwrap();
                assert_eq!(config.list("hosts"), ["a", "$b", "c"]);
                assert_eq!(config.required("query", "a query"), "select '%s'");
                assert_eq!(config.seconds("idle_interval", Duration::ZERO), Duration::from_secs(120));
                assert_eq!(config.number("expansion_limit", 7), 7);
                assert!(!config.yes_no("require_result_set", true));
                assert_eq!(config.finish(), Ok(()));
            },
        );
        assert!(warnings.lock().unwrap().is_empty());
    }

    #[test]
    fn all_mistakes_of_a_file_are_told_with_their_lines() {
        let (settings, warnings) = settings();
        with_file("expansion_limit = x\nqeury = select 1\nno assignment\nresult_format =\n", |path| {
            let mut config = TableConfig::open("mysql", path, "mysql:f", &settings).unwrap();
            assert!(config.expansion().is_none());
            config.required("query", "a SELECT statement");
            let text = config.finish().unwrap_err().to_string().replace(path, "F");
            assert_eq!(
                text,
                "mysql:f: F: query: expected a SELECT statement, found nothing; \
                 F:1: expansion_limit: expected a number up to 2147483647, found `x`; \
                 F:3: expected `name = value`, found `no assignment`; \
                 F:4: result_format: expected a text with %s, found nothing"
            );
            assert_eq!(
                warnings.lock().unwrap().join("\n").replace(path, "F"),
                "mysql:f: F:2: qeury: tables of this type have no such setting; it is ignored"
            );
        });
    }

    #[test]
    fn a_setting_that_is_there_twice_is_told_without_its_value() {
        let (settings, warnings) = settings();
        with_file("password = s3cret\npassword = other\n", |path| {
            let mut config = TableConfig::open("mysql", path, "mysql:f", &settings).unwrap();
            assert_eq!(config.required("password", "a password"), "other");
            assert_eq!(
                warnings.lock().unwrap().join("\n").replace(path, "F"),
                "mysql:f: F:2: password: is set twice; the last one counts"
            );
        });
    }

    #[test]
    fn a_name_without_a_path_stands_for_settings_of_main_cf() {
        let (settings, _) = settings();
        let mut config = TableConfig::open("mysql", "db", "mysql:db", &settings).unwrap();
        assert_eq!(config.list("hosts"), ["a", "b"]);
        config.required("query", "a query");
        let error = config.finish().unwrap_err().to_string();
        assert_eq!(error, "mysql:db: db_query: expected a query, found nothing");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
        let error = TableConfig::open("mysql", "/nonexistent/f", "mysql:/nonexistent/f", &settings().0)
            .err()
            .unwrap();
        let text =
            "mysql:/nonexistent/f: /nonexistent/f cannot be read: No such file or directory (os error 2)";
        assert_eq!(error.to_string(), text);
    }
}
