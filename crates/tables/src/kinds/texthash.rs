//! `texthash:/file`: the source file of an indexed table, read into memory.

use super::Kind;
use crate::entries::{Line, lines};
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Entries, Settings, Source, TableError};
use crate::watched::{self, Watched};
use mail::fold;
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

    fn entries(&self) -> Option<Result<Entries, String>> {
        Some(self.0.with(sorted))
    }
}

/// Keys with their values, in the order of the keys.
pub(super) fn sorted(entries: &HashMap<String, String>) -> Entries {
    let mut entries: Entries =
        entries.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes())).collect();
    entries.sort();
    entries
}

/// The entries of a table's source text: key, white space, value. What is no entry is ignored with a warning.
pub(super) fn parse(text: &str, spec: &str, settings: &Settings) -> HashMap<String, String> {
    let mut entries: HashMap<String, String> = HashMap::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    lines(text, |number, line| {
        let warn = |text: &str| (settings.warn)(&format!("{spec}: line {number}: {text}"));
        let (key, value) = match line {
            Line::Entry(key, value) => (key, value),
            Line::AliasLike(key, value) => {
                warn(&format!("expected `key value`, found `{key}`; is this an alias file?"));
                (key, value)
            }
            Line::Stray(_) => return warn("logical line must not start with whitespace; it is ignored"),
            Line::Unbalanced(_) => return warn("expected a `\"` for each `\"`; the line is ignored"),
            Line::Alone(key) => {
                return warn(&format!("expected `key value`, found `{key}` alone; the line is ignored"));
            }
        };
        let key = if settings.fold { fold(key, settings.utf8).into_owned() } else { key.to_owned() };
        // Of two entries with one key the first counts, as in Postfix.
        if let Some(first) = numbers.get(&key) {
            return warn(&format!("key `{key}` appears again (first on line {first})"));
        }
        numbers.insert(key.clone(), number);
        entries.insert(key, value.to_owned());
    });
    entries
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
