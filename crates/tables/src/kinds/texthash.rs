//! `texthash:/file`: the source file of an indexed table, read into memory.

use super::Kind;
use crate::fold::fold;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError};
use crate::watched::{self, Watched};
use config::lines::{is_space, logical_lines};
use std::collections::HashMap;
use std::path::Path;

/// The kind `texthash`.
pub const KIND: Kind = Kind { name: "texthash", open };

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    if name.is_empty() {
        return Err(TableError::new(spec, "expected a file name behind `texthash:`"));
    }
    let (owner, warn) = (spec.to_owned(), settings.clone());
    let load = move |path: &Path| Ok(parse(&watched::text(path)?, &owner, &warn));
    Ok(Box::new(TextHash(Watched::open(settings.path(name), spec, settings, load))))
}

struct TextHash(Watched<HashMap<String, String>>);

impl Source for TextHash {
    fn ready(&self) -> Result<(), String> {
        self.0.with(|_| ())
    }

    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        self.0
            .with(|entries| entries.get(key).map_or(Lookup::NotFound, |value| Lookup::Found(value.clone())))
            .unwrap_or_else(Lookup::TempFail)
            .into()
    }
}

/// The entries of a table's source text: key, white space, value. What is no entry is ignored with a warning.
pub(super) fn parse(text: &str, spec: &str, settings: &Settings) -> HashMap<String, String> {
    let mut entries: HashMap<String, String> = HashMap::new();
    let mut lines: HashMap<String, u32> = HashMap::new();
    let read = logical_lines(text);
    let warn = |line: u32, text: &str| (settings.warn)(&format!("{spec}: line {line}: {text}"));
    for line in read.stray {
        warn(line, "logical line must not start with whitespace; it is ignored");
    }
    for line in read.lines {
        let number = line.line();
        let Some((key, value)) = split_entry(&line.text) else {
            warn(number, "expected a `\"` for each `\"`; the line is ignored");
            continue;
        };
        if value.is_empty() {
            warn(number, &format!("expected `key value`, found `{key}` alone; the line is ignored"));
            continue;
        }
        if key.ends_with(':') {
            warn(number, &format!("expected `key value`, found `{key}`; is this an alias file?"));
        }
        let key = fold(key, settings.utf8).into_owned();
        // Of two entries with one key the first counts, as in Postfix.
        if let Some(first) = lines.get(&key) {
            warn(number, &format!("key `{key}` appears again (first on line {first})"));
            continue;
        }
        lines.insert(key.clone(), number);
        entries.insert(key, value.to_owned());
    }
    entries
}

/// Splits at the first white space outside of `"…"`; nothing where a quote is not closed.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if is_space(c) && !quoted => return Some((&line[..at], line[at..].trim_matches(is_space))),
            _ => {}
        }
    }
    (!quoted).then_some((line, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn file(text: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("texthash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_changed_file_is_read_again_once_it_lies_still() {
        let path = file("a 1\n");
        let table = Table::open(&format!("texthash:{}", path.display()), &Settings::default()).unwrap();
        assert_eq!(table.lookup_now("A"), Lookup::Found("1".into()));
        std::fs::write(&path, "a 22\n").unwrap();
        let found = |value: &str| {
            let wanted = Lookup::Found(value.into());
            (0..600).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                table.lookup_now("a") == wanted
            })
        };
        assert!(found("22"));
        std::fs::remove_file(&path).unwrap();
        let failed = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            matches!(table.lookup_now("a"), Lookup::TempFail(_))
        });
        assert!(failed, "a file that is gone makes lookups fail for the time being");
    }

    #[test]
    fn a_missing_file_fails_for_the_time_being_with_a_warning() {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let settings = Settings {
            warn: Arc::new(move |text| sink.lock().unwrap().push(text.to_owned())),
            ..Settings::default()
        };
        let table = Table::open("texthash:/nonexistent/table", &settings).unwrap();
        let text = "texthash:/nonexistent/table: cannot be read: No such file or directory (os error 2)";
        assert_eq!(table.lookup_now("a"), Lookup::TempFail(text.into()));
        assert_eq!(*warnings.lock().unwrap(), [text, text], "when it was opened, and when it was asked");
    }
}
