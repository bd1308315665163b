//! Option files of MySQL's client library (my.cnf): groups of `name = value`, of which some hold for us.
//!
//! Postfix: `option_file` and `option_group`, mysql_table(5). The group `client` is always read, and those that MariaDB
//! added to it; a later value takes the place of an earlier one. Names may have `-` for `_`.

use crate::table_config::TableConfig;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Groups that all clients read.
const OF_CLIENTS: &[&str] = &["client", "client-server", "client-mariadb"];

/// Files that include each other, one within the other.
const INCLUDED_MAX: usize = 10;

/// Bytes of one file; options need some hundred.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What option files say.
#[derive(Debug, Default)]
pub(super) struct Options(HashMap<String, String>);

impl Options {
    /// Reads the file of `option_file`; a mistake is noted.
    pub(super) fn read(config: &mut TableConfig<'_>) -> Options {
        let group = config.text("option_group");
        let Some(file) = config.text("option_file").filter(|file| !file.is_empty()) else {
            if group.is_some_and(|group| !["", "client"].contains(&group.as_str())) {
                let text = "option files are read where option_file names them, and nowhere else";
                config.warn("option_group", text);
            }
            return Options::default();
        };
        let file = config.settings().path(&file);
        let groups: Vec<&str> = OF_CLIENTS.iter().copied().chain(group.as_deref()).collect();
        let mut options = Options::default();
        if let Err(text) = options.add(&file, &groups, 0) {
            config.wrong("option_file", text);
        }
        options
    }

    /// The value of an option, by its name with `_`; nothing where it is not there or is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Whether an option is there that means yes by itself.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let off =
            |value: &str| ["0", "off", "false", "no"].iter().any(|word| value.eq_ignore_ascii_case(word));
        self.0.get(name).is_some_and(|value| !off(value))
    }

    fn add(&mut self, file: &Path, groups: &[&str], depth: usize) -> Result<(), String> {
        let text = text(file)?;
        // Nothing in front of the first group is an option.
        let (mut group, mut counts) = (None, false);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |what: String| format!("{}:{}: {what}", file.display(), number + 1);
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(word) = line.strip_prefix('!') {
                if depth >= INCLUDED_MAX {
                    return Err(wrong(format!(
                        "expected files at most {INCLUDED_MAX} deep within each other"
                    )));
                }
                for included in included(word).map_err(wrong)? {
                    self.add(&included, groups, depth + 1)?;
                }
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest.split(']').next().unwrap_or_default().trim();
                counts = groups.contains(&name);
                group = Some(name);
                continue;
            }
            // The value may be a password.
            let name = line.split('=').next().unwrap_or_default().trim();
            if group.is_none() {
                return Err(wrong(format!("expected `[group]` in front of options, found `{name}`")));
            }
            if counts {
                let value = line.split_once('=').map(|(_, value)| value);
                self.0.insert(name.replace('-', "_"), unquoted(value.unwrap_or_default()));
            }
        }
        Ok(())
    }
}

fn text(file: &Path) -> Result<String, String> {
    let unread = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let size = std::fs::metadata(file).map_err(unread)?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{}: expected at most {FILE_BYTES_MAX} bytes, found {size}", file.display()));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(file).map_err(unread)?).into_owned())
}

/// The files of `!include FILE` and `!includedir DIRECTORY`.
fn included(word: &str) -> Result<Vec<PathBuf>, String> {
    let (word, path) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
    let path = Path::new(path.trim());
    match word {
        "include" => Ok(vec![path.to_owned()]),
        "includedir" => {
            let entries = std::fs::read_dir(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let is_option_file = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "cnf");
            let mut files: Vec<_> =
                entries.flatten().map(|entry| entry.path()).filter(is_option_file).collect();
            files.sort();
            Ok(files)
        }
        _ => Err(format!("expected `!include` or `!includedir`, found `!{word}`")),
    }
}

/// A value without blanks and quotes around it, and with its escapes replaced.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = value.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
    let mut out = String::with_capacity(value.len());
    let mut rest = inner.unwrap_or(value).chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\x08'),
            Some('s') => out.push(' '),
            Some(c @ ('\\' | '"' | '\'')) => out.push(c),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_files<T>(files: &[(&str, &str)], test: impl FnOnce(&Path) -> T) -> T {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mysql-options-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        for (name, text) in files {
            let text = text.replace("HERE", &directory.display().to_string());
            std::fs::write(directory.join(name), text).unwrap();
        }
        let result = test(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        result
    }

    #[test]
    fn the_groups_that_hold_for_us_are_read_and_the_last_value_counts() {
        let main = "# c\n; c\n[mysqld]\nuser = x\n[client]\nuser = a\nssl-ca = '/c a'\nssl-verify-server-cert\n\
                    password=\"q\\\"\\\\#\\s\"\n[ mail ]\nport=1\n!include HERE/more\n!includedir HERE\n[other]\nport=9\n";
        let files =
            [("main", main), ("more", "[client-server]\nsocket = /s\n"), ("b.cnf", "[client]\nuser=b\n")];
        let options = with_files(&files, |here| {
            let mut options = Options::default();
            options.add(&here.join("main"), &["client", "client-server", "mail"], 0).unwrap();
            options
        });
        let all: Vec<_> =
            ["user", "ssl_ca", "password", "port", "socket"].map(|name| options.text(name)).into();
        let expected = ["b", "/c a", "q\"\\# ", "1", "/s"].map(|text| Some(text.to_owned()));
        assert_eq!(all, expected);
        assert!(options.is_on("ssl_verify_server_cert") && !options.is_on("ssl"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_a_value() {
        for (text, expected) in [
            ("\npassword = secret\n", "HERE/f:2: expected `[group]` in front of options, found `password`"),
            ("[client]\n!includ x\n", "HERE/f:2: expected `!include` or `!includedir`, found `!includ`"),
            ("!include HERE/f\n", "HERE/f:1: expected files at most 10 deep within each other"),
            ("!include HERE/g\n", "HERE/g cannot be read: No such file or directory (os error 2)"),
        ] {
            let found = with_files(&[("f", text)], |here| {
                let error = Options::default().add(&here.join("f"), &["client"], 0).unwrap_err();
                error.replace(&here.display().to_string(), "HERE")
            });
            assert_eq!(found, expected);
        }
    }
}
