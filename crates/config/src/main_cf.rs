//! main.cf as written: names, unexpanded values and where they stand.

use crate::error::{Error, Origin};
use crate::lines::{is_space, logical_lines};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One `name = value` of main.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value as written, without the blanks around it.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// The settings of a main.cf; of two settings of one name the later wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MainCf {
    entries: BTreeMap<String, Entry>,
    warnings: Vec<Error>,
}

impl MainCf {
    /// Parses the text of the file `file`; all mistakes are added to `errors`.
    pub fn parse(file: &Arc<Path>, text: &str, errors: &mut Vec<Error>) -> MainCf {
        let mut main = MainCf::default();
        let lines = logical_lines(text);
        let origin = |line| Origin { file: file.clone(), line };
        main.warnings = lines.warnings(file);
        for line in lines.lines {
            match split_assignment(&line.text) {
                Ok((name, value)) => main.set(name, value, origin(line.line())),
                Err(text) => errors.push(Error::general(Some(origin(line.line())), text)),
            }
        }
        main
    }

    fn set(&mut self, name: &str, value: &str, origin: Origin) {
        let entry = Entry { value: value.to_owned(), origin };
        if let Some(old) = self.entries.get(name)
            && old.value != entry.value
        {
            let text = format!("overrides `{}` of line {}", old.value, old.origin.line);
            self.warnings.push(Error::new(Some(entry.origin.clone()), name, text));
        }
        self.entries.insert(name.to_owned(), entry);
    }

    /// Leaves a setting out, as if it were not in the file.
    pub(crate) fn leave_out(&mut self, name: &str) {
        self.entries.remove(name);
    }

    pub(crate) fn set_quietly(&mut self, name: &str, value: &str, file: Arc<Path>) {
        let entry = Entry { value: value.to_owned(), origin: Origin { file, line: 0 } };
        self.entries.insert(name.to_owned(), entry);
    }

    /// The setting of `name`, if the file has one.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// What the administrator should know although the file can be used.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }
}

/// Splits `name = value`; the blanks around both are dropped.
pub(crate) fn split_assignment(text: &str) -> Result<(&str, &str), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("expected `name = value`, found `{}`", text.trim_matches(is_space)));
    };
    let name = name.trim_matches(is_space);
    if name.is_empty() {
        return Err(format!("expected a parameter name before `=`, found `{}`", text.trim_matches(is_space)));
    }
    if name.contains(is_space) {
        return Err(format!("expected a parameter name without blanks before `=`, found `{name}`"));
    }
    Ok((name, value.trim_matches(is_space)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (MainCf, Vec<Error>) {
        let mut errors = Vec::new();
        (MainCf::parse(&Path::new("/etc/postfix/main.cf").into(), text, &mut errors), errors)
    }

    #[test]
    fn the_later_of_two_settings_wins_with_a_warning() {
        let (main, errors) = parse("a=1\nb = 2\na =\n  3\n");
        assert_eq!(errors, []);
        let a = main.get("a").unwrap();
        assert_eq!((a.value.as_str(), a.origin.line), ("3", 3));
        assert_eq!(main.warnings()[0].to_string(), "/etc/postfix/main.cf:3: a: overrides `1` of line 1");
    }

    #[test]
    fn all_bad_lines_are_reported_with_their_numbers() {
        let (_, errors) = parse("myhostname\n= x\nok = 1\n");
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "/etc/postfix/main.cf:1: expected `name = value`, found `myhostname`",
                "/etc/postfix/main.cf:2: expected a parameter name before `=`, found `= x`",
            ]
        );
    }
}
