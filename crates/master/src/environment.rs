//! The environment of the processes that an instance starts: what `import_environment` names, and nothing else.
//!
//! Postfix: postconf(5). `NAME` is taken over where it is set, `NAME=value` and `{ NAME = value }` are given. Whoever calls
//! `postfix start` by hand must not change by chance how mail is delivered. As with Postfix's `-c`, MAIL_CONFIG names the
//! directory of main.cf.

use config::words::unbraced;
use std::path::Path;
use std::process::Command;

/// Variables that are taken over or given, the last one of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, Option<String>)>);

impl Environment {
    /// The variables that the words of `import_environment` name; the error says what was expected.
    pub fn of(words: &[String]) -> Result<Environment, String> {
        let read = |word: &String| {
            let inner = unbraced(word).unwrap_or(word);
            let (name, value) = match inner.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start().to_owned())),
                None => (inner, None),
            };
            if name.is_empty() || name.contains([' ', '\0']) || (value.is_none() && unbraced(word).is_some())
            {
                return Err(format!("expected NAME, NAME=value or {{ NAME = value }}, found `{word}`"));
            }
            Ok((name.to_owned(), value))
        };
        words.iter().map(read).collect::<Result<_, _>>().map(Environment)
    }

    /// Gives these variables alone to what `command` starts.
    pub fn give(&self, command: &mut Command, config_directory: &Path) {
        command.env_clear();
        for (name, value) in &self.0 {
            match value.clone().map(Into::into).or_else(|| std::env::var_os(name)) {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("MAIL_CONFIG", config_directory);
        // The tests' ways to show that a parameter counts, and what restrictions find; builds for use do not look at them.
        const FOR_TESTS: [&str; 2] = ["POSTHASTE_FORGET", "POSTHASTE_WITNESS"];
        for name in FOR_TESTS.iter().filter(|_| cfg!(debug_assertions)) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Environment, String> {
        Environment::of(&config::words::list(text))
    }

    #[test]
    fn variables_are_taken_over_or_given() {
        let expected = [("TZ", None), ("LANG", Some("C")), ("FOO", Some("a b")), ("E", Some(""))];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(of("TZ LANG=C, { FOO = a b } E="), Ok(Environment(expected.into())));
        for text in ["=x", "{ FOO }", "{ = x }", "{}"] {
            assert!(of(text).is_err_and(|error| error.ends_with(&format!("found `{text}`"))), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_there_and_the_configuration_always_is() {
        let mut command = Command::new("env");
        of("PATH NO_SUCH_NAME GIVEN=1").unwrap().give(&mut command, Path::new("/etc/elsewhere"));
        let found: Vec<_> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert_eq!(found, ["GIVEN", "MAIL_CONFIG", "PATH"]);
    }
}
